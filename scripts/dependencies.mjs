// npm runs this in a clone whenever it has changed node_modules, and `npm pack` does with --pack.
//
// No package that dgate depends on needs its install script: their binaries come inside them, and what the scripts would
// fetch (CUDA from NuGet, libtensorflow) is fetched by `dgate doctor --setup` where it is wanted. There is no setting that
// npm 10, 11 and 12 know for that, but all three believe what package-lock.json says: here no package has a script.
//
// Source maps and binaries of other systems are three fifths of what npm unpacks, and nothing reads them.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const modules = 'node_modules';
if (process.argv.includes('--pack')) quietBundled();
else {
  quietLock();
  trim();
}

/** Takes note of install scripts out of the lock; `gypfile` keeps npm from compiling what has a binding.gyp. */
function quietLock() {
  edit('package-lock.json', (lock) => {
    for (const entry of Object.values(lock.packages)) delete entry.hasInstallScript;
    const addon = lock.packages[`${modules}/@tensorflow/tfjs-node-gpu`];
    if (addon !== undefined) addon.gypfile = false;
  });
}

/** Takes them out of the packages themselves that dgate's own package carries: npm reads those, and no lock of ours. */
function quietBundled() {
  for (const path of packagesIn(modules)) {
    edit(join(path, 'package.json'), (content) => {
      for (const script of ['preinstall', 'install', 'postinstall']) delete content.scripts?.[script];
      if (existsSync(join(path, 'binding.gyp'))) content.gypfile = false;
    });
  }
}

function trim() {
  const { platform, arch } = process;
  const systems = join(modules, 'onnxruntime-node/bin/napi-v6');
  keepOnly(systems, platform);
  keepOnly(join(systems, platform), arch);
  const dawn = platform === 'darwin' ? 'darwin-universal' : `${platform}-${arch}`;
  keepOnly(join(modules, 'webgpu/dist'), dawn);
  for (const entry of existsSync(modules) ? readdirSync(modules, { recursive: true }) : []) {
    if (entry.endsWith('.map')) rmSync(join(modules, entry));
  }
}

/** Removes every folder but one; all of them stay where that one is not there. */
function keepOnly(folder, name) {
  if (!existsSync(join(folder, name))) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory() && entry.name !== name) rmSync(join(folder, entry.name), { recursive: true });
  }
}

function packagesIn(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap(({ name }) => {
    const path = join(folder, name);
    if (name.startsWith('@')) return packagesIn(path);
    if (name.startsWith('.') || !existsSync(join(path, 'package.json'))) return [];
    const inner = join(path, modules);
    return [path, ...(existsSync(inner) ? packagesIn(inner) : [])];
  });
}

/** Changes a JSON file, if that changes anything. */
function edit(path, change) {
  const text = readFileSync(path, 'utf8');
  const content = JSON.parse(text);
  const before = JSON.stringify(content);
  change(content);
  if (JSON.stringify(content) !== before) writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`);
}

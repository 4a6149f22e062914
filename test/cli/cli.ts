import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildSync } from 'esbuild';
import { cacheFolder } from '../../src/cli/command.js';
import { tinyNetwork, writeTinyCheckpoint } from '../run/workplace.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Modules to load before the command, as `--import` takes them. */
  readonly imports?: readonly string[];
  /** Generated images in the place of CIFAR-10 (`generatedDatasets.ts`), or the URL of another module that places some. */
  readonly generated?: boolean | string;
  /** A program that starts the command, with its arguments: `strace -f`. */
  readonly under?: readonly string[];
  /** On a terminal of its own (see {@link hasTerminals}), whose text is `stdout`; what is typed there goes to `stdin`. */
  readonly terminal?: boolean;
}

/** Whether this machine can open one: `script` of util-linux. */
export const hasTerminals = ((): boolean => {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux');
  } catch {
    return false;
  }
})();

/** What Ctrl-C types. */
export const CTRL_C = '\u0003';

/** Runs the command line in a process of its own, without any DGATE_ variable of this one. */
export async function runCli(args: readonly string[], options: RunOptions = {}): Promise<Result> {
  return finished(startCli(args, options));
}

/** A command that is still running. */
export interface Running {
  readonly process: ChildProcess;
  readonly started: number;
  stdout: string;
  stderr: string;
}

export function startCli(args: readonly string[], options: RunOptions = {}): Running {
  const { cwd, env, under = [], terminal } = options;
  const { loads, place, inherited } = startsWith(options);
  const command = [...loads, fileURLToPath(place('bin/dgate')), ...args];
  const whole = [...under, process.execPath, ...command];
  const quoted = `exec ${whole.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')}`;
  const [program, ...words] = terminal ? ['script', '-qefc', quoted, '/dev/null'] : whole;
  const child = spawn(program!, words, {
    cwd: cwd ?? tmpdir(),
    env: { ...inherited, ...env },
    stdio: [terminal ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  });
  const running: Running = { process: child, started: performance.now(), stdout: '', stderr: '' };
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    running.stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    running.stderr += text;
  });
  return running;
}

export function finished(running: Running): Promise<Result> {
  return new Promise((resolve, reject) => {
    running.process.once('error', reject).once('close', (status) => {
      const { stdout, stderr, started } = running;
      resolve({ status, stdout, stderr, seconds: (performance.now() - started) / 1000 });
    });
  });
}

/** URL of a file beside this one, for `imports`. */
export function here(name: string): string {
  return new URL(name, import.meta.url).href;
}

/** The loader of TypeScript, by its path: commands run in other folders. */
export const tsx = pathToFileURL(join(root, 'node_modules/tsx/dist/loader.mjs')).href;

/** What processes of the command line start with: what was built, where it is as new as the sources, which takes a third of the time. */
export function startsWith({ imports = [], generated }: Pick<RunOptions, 'imports' | 'generated'>) {
  const built = distIsFresh();
  const images = generated === true ? here('generatedDatasets.ts') : generated || undefined;
  const modules = [
    ...(built ? [] : [tsx]),
    ...imports,
    ...(images === undefined ? [] : [built ? forBuilt(images) : images]),
  ];
  const variables = Object.entries(process.env).filter(([name]) => !/^(DGATE_|NODE_OPTIONS|LANG|LC_|TSX_)/.test(name));
  const caching = built ? {} : { TSX_DISABLE_CACHE: '' }; // sources are compiled once for all commands
  return {
    loads: modules.flatMap((module) => ['--import', module]),
    /** URL of a module of the project. */
    place: (module: string): string => pathToFileURL(join(root, built ? `dist/${module}.js` : `${module}.ts`)).href,
    inherited: { ...Object.fromEntries(variables), ...caching },
  };
}

const compiled = new Map<string, string>();

/** A module of the tests, compiled, on the modules that were built in the place of the sources. */
function forBuilt(module: string): string {
  const known = compiled.get(module);
  if (known !== undefined) return known;
  const entryPoints = [fileURLToPath(module)];
  const { outputFiles } = buildSync({
    entryPoints,
    bundle: true,
    minify: true,
    platform: 'node',
    external: ['../../src/*'],
    format: 'esm',
    write: false,
  });
  const code = outputFiles[0]!.text.replaceAll('"../../src/', `"${pathToFileURL(join(root, 'dist/src/'))}`);
  const url = `data:text/javascript,${encodeURIComponent(code)}`;
  compiled.set(module, url);
  return url;
}

let fresh: boolean | undefined;

/** Whether `dist` is at least as new as every source; asked once. */
export function distIsFresh(): boolean {
  fresh ??= (() => {
    const built = join(root, 'dist/bin/dgate.js');
    if (!existsSync(built)) return false;
    const { mtimeMs } = statSync(built);
    return ['bin', 'src', 'experiments'].every((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).every(
        (name) => !name.endsWith('.ts') || statSync(join(root, folder, name)).mtimeMs <= mtimeMs,
      ),
    );
  })();
  return fresh;
}

/** Folders of a command's own. */
export interface Place {
  readonly folder: string;
  readonly cache: string;
  readonly results: string;
  /** `--cache` and `--results`. */
  readonly options: readonly string[];
  remove(): Promise<void>;
}

/** @param data folder of all datasets that the cache shall use */
export async function makePlace(data?: string): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'dgate-cli-'));
  const [cache, results] = [join(folder, 'cache'), join(folder, 'tables')];
  if (data !== undefined) {
    await mkdir(cache);
    await symlink(data, join(cache, 'data'));
  }
  const options = ['--cache', cache, '--results', results];
  return { folder, cache, results, options, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** The real CIFAR-10, in the cache where commands look for it, and checkpoints, where this machine has them. */
export const real = {
  data: join(cacheFolder({}), 'data'),
  hasData: existsSync(join(cacheFolder({}), 'data/cifar10')),
  checkpoint: (name: string): string => join(root, '../shared/checkpoints', name),
  hasCheckpoints: existsSync(join(root, '../shared/checkpoints/resnet56-4bfd9763.th')),
};

/** Checkpoints that try to run a command when they are unpickled, and others that Python wrote. */
export const fixture = (name: string): string => join(root, 'test/fixtures/checkpoints', name);

/**
 * Writes the experiment of the tests on generated images: two gates on a tiny network with weights of its own, one margin,
 * one row of fixed thresholds.
 *
 * @param more further keys of the definition, as source
 * @returns path of its file
 */
export async function writeTinyExperiment(folder: string, more: string): Promise<string> {
  const checkpoint = join(folder, 'tiny.safetensors');
  await writeTinyCheckpoint(checkpoint);
  const definition = join(folder, 'mine.mjs');
  await writeFile(
    definition,
    `export default { name: 'mine', title: 'Two gates', network: '${tinyNetwork}', checkpoint: '${checkpoint}', ` +
      `gates: { after: [1, 2], pooling: '4x4', solver: 'sgd', epochs: 2 }, thresholds: { margins: [0.05], fixed: [[0, 0]] }, ${more} };`,
  );
  return definition;
}

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { posix } from 'node:path';
import { canonicalJson, sha256 } from '../json.js';
import { projectRoot } from '../project.js';

interface CodeModule {
  readonly sha256: string;
  /** Its imports at run time: modules (`./run/extract`) and packages (`sharp`). */
  readonly imports: readonly string[];
}

/** Modules by their path below `src`, without extension. `npm run build` writes them to `dist/code.json`. */
export type CodeModules = Readonly<Record<string, CodeModule>>;

/** Modules that only transport results: locks, messages, downloads with known hashes. They do not change a cached result. */
const carriers = /^(?:store\/|(?:errors|escape|csv|progress|project|checkpoints\/fetch|data\/records\/fetch)$)/;

/** Not followed, because it imports all engines; a stage names the one that it uses. */
const registry = 'engines/registry';

const identities = new Map<string, string>();

/**
 * The identity of the code that computes a result: a hash of all modules reachable from `entries` (`run/score`) and of the
 * versions of the packages that they import. The same for sources and compiled code.
 */
export function codeOf(...entries: readonly string[]): string {
  const label = entries.join(' ');
  let identity = identities.get(label);
  if (identity === undefined) {
    const { modules, packages } = reachedFrom(entries);
    const hashes = modules.map((id) => moduleOf(id).sha256).sort(); // independent of paths
    const versions = Object.fromEntries(packages.map((name) => [name, installedVersion(name)]));
    identity = sha256(canonicalJson([hashes, versions])).slice(0, 16);
    identities.set(label, identity);
  }
  return identity;
}

/** The modules and packages that an identity covers, sorted. */
export function reachedFrom(entries: readonly string[]): { modules: string[]; packages: string[] } {
  const [modules, packages] = [new Set<string>(), new Set<string>()];
  const visit = (id: string): void => {
    if (modules.has(id) || carriers.test(id)) return;
    modules.add(id);
    for (const target of moduleOf(id).imports) {
      if (!target.startsWith('./')) packages.add(target);
      else if (id !== registry) visit(target.slice(2));
    }
  };
  for (const entry of entries) visit(entry);
  return { modules: [...modules].sort(), packages: [...packages].sort() };
}

const read = new Map<string, CodeModule>();
let built: CodeModules | undefined;

function moduleOf(id: string): CodeModule {
  if (!import.meta.url.endsWith('.ts')) {
    built ??= JSON.parse(readFileSync(new URL('../../code.json', import.meta.url), 'utf8')) as CodeModules;
    const found = built[id];
    if (found === undefined) throw new Error(`dist/code.json: no module ${id}; run: npm run build`);
    return found;
  }
  const known = read.get(id) ?? readModule(id, readFileSync(new URL(`../${id}.ts`, import.meta.url), 'utf8'));
  read.set(id, known);
  return known;
}

/** Folders that `npm run build` compiles. */
const compiledFolders = ['src', 'bin', 'experiments'];

/** Every compiled module; those outside `src` as `../bin/dgate`. @param root path of the project */
export function readModules(root: string): CodeModules {
  const ids = compiledFolders.flatMap((folder) => {
    if (!existsSync(`${root}/${folder}`)) return [];
    const names = readdirSync(`${root}/${folder}`, { recursive: true, encoding: 'utf8' }).sort();
    const prefix = folder === 'src' ? '' : `../${folder}/`;
    return names.flatMap((name) => (name.endsWith('.ts') ? [prefix + name.slice(0, -3).replaceAll('\\', '/')] : []));
  });
  return Object.fromEntries(
    ids.map((id) => [id, readModule(id, readFileSync(`${root}/src/${id}.ts`, 'utf8'))] as const),
  );
}

/** A source that was changed, added or removed since `npm run build`. */
export function changedSince(build: CodeModules, root: string): string | undefined {
  const now = readModules(root);
  const ids = [...new Set([...Object.keys(build), ...Object.keys(now)])];
  const changed = ids.find((id) => build[id]?.sha256 !== now[id]?.sha256);
  return changed === undefined ? undefined : posix.join('src', `${changed}.ts`);
}

function readModule(id: string, text: string): CodeModule {
  // Imports except those of types, and the URLs of modules that run as child processes.
  const pattern =
    /^(?:import|export) (?!type )(?:[\w*$\s{},]+ from )?'([^']+)';|\bimport\(\s*'([^']+)',?\s*\)|new URL\(['`](\.[^'`$]+)(?:(?<=\.js)'|\$\{extname\()/gm;
  // Names of packages loaded through `require`.
  const named = [...text.matchAll(/'(@[\w-]+\/[\w.-]+)'/g)].flatMap(([, name]) =>
    text.includes('createRequire') ? [name!] : [],
  );
  const targets = [...text.matchAll(pattern)].map(([, plain, dynamic, child]) => (plain ?? dynamic ?? child)!);
  const imports = [...targets, ...named].flatMap((target): string[] => {
    if (target.startsWith('node:')) return [];
    if (!target.startsWith('.')) return [packageOf(target)];
    const path = posix.join(posix.dirname(id), target).replace(/\.[jt]s$/, '');
    return [`./${path}`];
  });
  return { sha256: sha256(text), imports: [...new Set(imports)].sort() };
}

const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

/** Hashes of the files in a folder of the project, by name; empty if it is missing. */
export function hashesIn(folder: string): Record<string, string> {
  const place = new URL(`${folder}/`, projectRoot);
  const names = existsSync(place) ? readdirSync(place).sort() : [];
  return Object.fromEntries(names.map((name) => [name, sha256(readFileSync(new URL(name, place)))]));
}

/** Version of a package, without loading it; null if it is not installed. */
export function installedVersion(name: string): string | null {
  for (const folder of createRequire(new URL('package.json', projectRoot)).resolve.paths(name) ?? []) {
    const path = `${folder}/${name}/package.json`;
    if (existsSync(path)) return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
  }
  return null;
}

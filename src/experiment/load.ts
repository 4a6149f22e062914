import { readFileSync } from 'node:fs';
import Module from 'node:module';
import { basename, extname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { asSystemProblem, InputError, messageOf } from '../errors.js';
import { visible } from '../escape.js';
import { parseJson } from '../json.js';
import { exists, namesIn } from '../store/files.js';
import { assertInput, readText } from '../store/input.js';
import { scores } from './network.js';
import { definitionFolder } from './resolve.js';

/** The project's own experiments, as TypeScript or compiled. */
const folder = new URL('../../experiments/', import.meta.url);

// Keeps tsx from caching in the temporary folder, unless the environment says otherwise. Set before the thread of module hooks
// starts and copies the environment.
process.env['TSX_DISABLE_CACHE'] ??= '1';

/** Names of the project's experiments. */
export async function experimentNames(): Promise<string[]> {
  const files = await namesIn(fileURLToPath(folder));
  const names = files.flatMap((file) => /^([A-Za-z0-9-]+)\.(?:ts|js)$/.exec(file)?.[1] ?? []);
  return [...new Set(names)].sort();
}

/**
 * Loads the default export of a definition: an experiment of the project by name, or a .ts, .js, .mjs or .json file by path, which may
 * import from `dgate` in any folder. For a file of scores, returns a definition that uses it.
 *
 * @returns the unchecked export, and its name for messages
 * @throws InputError for an unknown experiment or a file that cannot be loaded
 */
export async function loadDefinition(nameOrPath: string): Promise<{ exported: unknown; where: string }> {
  if (/\.(?:npz|safetensors|csv)$/i.test(nameOrPath)) {
    return { exported: scoresDefinition(basename(nameOrPath)), where: nameOrPath };
  }
  if (/\.json$/i.test(nameOrPath))
    return { exported: parseJson(await readText(nameOrPath), nameOrPath), where: nameOrPath };
  if (definitionFolder(nameOrPath) === undefined) {
    const names = await experimentNames();
    if (!names.includes(nameOrPath)) {
      const valid = [...names, 'a file such as ./mine.ts'].join(', ');
      throw new InputError(`experiment ${nameOrPath}: unknown; valid: ${valid}`);
    }
    const own = [new URL(`${nameOrPath}.js`, folder), new URL(`${nameOrPath}.ts`, folder)];
    for (const url of own) {
      if (await exists(fileURLToPath(url)))
        return { exported: await importDefault(url.href, nameOrPath), where: nameOrPath };
    }
  }
  const path = resolve(nameOrPath);
  await assertInput(path, nameOrPath);
  await makePackageKnown();
  return { exported: await importDefault(pathToFileURL(path).href, nameOrPath), where: nameOrPath };
}

/** The experiment of a file of scores: thresholds at some margins and with a guarantee, and the frontier of its exits. */
function scoresDefinition(file: string) {
  const name = `scores-${file.replace(/\.\w+$/, '').replaceAll(/[^A-Za-z0-9]+/g, '-')}`.slice(0, 64);
  const thresholds = { margins: [0, 0.005, 0.01, 0.02], guarantee: { drop: 0.01 } };
  return { name, title: `Scores of ${file}`, network: scores(file), thresholds, analysis: { kind: 'frontier' } };
}

/** Definitions being loaded. Their code may end the process, which would look like success. */
const loading = new Set<string>();

function ended(status: number): void {
  if (loading.size === 0 || status > 128) return; // interrupted by the user
  process.stderr.write(
    `dgate: ${visible([...loading].join(', '))}: ended the program while it was loaded (process.exit, an await that ` +
      `never ends${memoryLimit()}); valid: a file that exports an experiment and does nothing else\n`,
  );
  process.exitCode = 2;
}

/** The memory limit of this process, which may end the worker that compiles TypeScript. */
function memoryLimit(): string {
  try {
    const [, most] = /^Max address space +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return most === undefined ? '' : `, or too little memory for its loader: ulimit -v allows ${most} bytes`;
  } catch {
    return ''; // not Linux
  }
}

/** Another error ended the process, not the definition. */
function failed(): void {
  loading.clear();
}

async function importDefault(url: string, where: string): Promise<unknown> {
  if (loading.size === 0) process.once('exit', ended).once('uncaughtExceptionMonitor', failed);
  loading.add(where);
  try {
    const typescript = ['.ts', '.mts', '.cts'].includes(extname(url));
    const load = typescript ? await tsxImport() : (path: string) => import(path);
    const module = (await load(url)) as { default?: unknown };
    // Awaited here, so that a rejected promise is reported as a file that cannot be loaded.
    return await (isModule(module.default) ? module.default.default : module.default);
  } catch (error) {
    const reason = firstLines(messageOf(asSystemProblem(error) ?? error));
    const valid = "valid: mine.ts with network: onnxNetwork('FILE.onnx'), gates: 'own' (docs/own-network.md)";
    const why = extname(url) === '.onnx' ? `a network; ${valid}` : `cannot be loaded: ${reason}`;
    throw new InputError(`${where}: ${why}`, { cause: error });
  } finally {
    loading.delete(where);
    if (loading.size === 0) process.off('exit', ended).off('uncaughtExceptionMonitor', failed);
  }
}

async function tsxImport(): Promise<(path: string) => Promise<unknown>> {
  const { tsImport } = await import('tsx/esm/api');
  return (path) => tsImport(path, import.meta.url) as Promise<unknown>;
}

/** The first line of a message, and the second after a colon (esbuild's syntax errors). */
function firstLines(message: string): string {
  const [first = '', second = ''] = message.split('\n');
  return first.endsWith(':') ? `${first} ${second.trim()}` : first;
}

/** In CommonJS compiled from TypeScript, the default export sits one level deeper. */
function isModule(value: unknown): value is { default?: unknown } {
  return typeof value === 'object' && value !== null && '__esModule' in value;
}

/** What a definition imports from: `import { defineExperiment } from 'dgate'`. */
const NAME = 'dgate';

type Resolve = (name: string, context: unknown, next: (name: string, context: unknown) => unknown) => unknown;

/** Hooks that the types of Node 20 lack. */
interface Hooks {
  /** From Node 22.15 on, for imports and `require` alike. */
  registerHooks?(hooks: { resolve: Resolve }): void;
  _resolveFilename(request: string, ...rest: unknown[]): string;
}

let known: Promise<void> | undefined;

/** Resolves `dgate` to this package in all files loaded from now on, so that a definition needs no package around it. */
function makePackageKnown(): Promise<void> {
  known ??= (async () => {
    const [built, source] = ['../index.js', '../index.ts'].map((file) => new URL(file, import.meta.url));
    const index = (await exists(fileURLToPath(built!))) ? built! : source!;

    // tsx appends a query to names.
    const hooks = Module as unknown as Hooks;
    if (hooks.registerHooks !== undefined) {
      hooks.registerHooks({
        resolve: (name, context, next) => next(name.split('?')[0] === NAME ? index.href : name, context),
      });
      return;
    }

    // Node 20, ES modules: a hook in the thread that resolves them.
    const hook =
      'export const resolve = (name, context, next) => ' +
      `next(name.split('?')[0] === '${NAME}' ? ${JSON.stringify(index.href)} : name, context);`;
    Module.register(`data:text/javascript,${encodeURIComponent(hook)}`);

    // Node 20, CommonJS (a .ts file outside an ESM package): there is no public hook.
    const resolve = hooks._resolveFilename;
    hooks._resolveFilename = function (request, ...rest) {
      return request === NAME ? fileURLToPath(index) : resolve.call(this, request, ...rest);
    };
  })();
  return known;
}

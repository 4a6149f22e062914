import Module from 'node:module';
import { fileURLToPath } from 'node:url';
import { exists } from '../store/files.js';

/** What a definition imports from: `import { defineExperiment } from 'dgate'`. */
const NAME = 'dgate';

type Resolve = (name: string, context: unknown, next: (name: string, context: unknown) => unknown) => unknown;

/** What Node's types of version 20 do not have: hooks of later Nodes, and the CommonJS resolver. */
interface Hooks {
  /** From Node 22.15 on, for imports and `require` alike. */
  registerHooks?(hooks: { resolve: Resolve }): void;
  _resolveFilename(request: string, ...rest: unknown[]): string;
}

let known: Promise<void> | undefined;

/**
 * Makes the name `dgate` mean this package in every file that is loaded from now on, wherever the file lies: a
 * definition needs no package of its own around it. (An editor does, for completion.)
 */
export function makePackageKnown(): Promise<void> {
  known ??= (async () => {
    const [built, source] = ['../index.js', '../index.ts'].map((file) => new URL(file, import.meta.url));
    const index = (await exists(fileURLToPath(built!))) ? built! : source!;

    // What tsx appends to a name stands behind a question mark.
    const hooks = Module as unknown as Hooks;
    if (hooks.registerHooks !== undefined) {
      hooks.registerHooks({
        resolve: (name, context, next) => next(name.split('?')[0] === NAME ? index.href : name, context),
      });
      return;
    }

    // Node 20. ES modules: a hook in the thread that resolves them.
    const hook =
      'export const resolve = (name, context, next) => ' +
      `next(name.split('?')[0] === '${NAME}' ? ${JSON.stringify(index.href)} : name, context);`;
    Module.register(`data:text/javascript,${encodeURIComponent(hook)}`);

    // CommonJS, to which a .ts file outside an ESM package is compiled: no public hook.
    const resolve = hooks._resolveFilename;
    hooks._resolveFilename = function (request, ...rest) {
      return request === NAME ? fileURLToPath(index) : resolve.call(this, request, ...rest);
    };
  })();
  return known;
}

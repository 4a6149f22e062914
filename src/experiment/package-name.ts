import Module, { register } from 'node:module';
import { fileURLToPath } from 'node:url';
import { exists } from '../store/files.js';

/** What a definition imports from: `import { defineExperiment } from 'dgate'`. */
const NAME = 'dgate';

/** Node's CommonJS resolver, to which a .ts file outside an ESM package is compiled; not in Node's types. */
interface Resolver {
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

    // ES modules: a hook in the thread that resolves them. What tsx appends to a name stands behind a question mark.
    const hook =
      'export const resolve = (name, context, next) => ' +
      `next(name.split('?')[0] === '${NAME}' ? ${JSON.stringify(index.href)} : name, context);`;
    register(`data:text/javascript,${encodeURIComponent(hook)}`);

    // CommonJS: Node 20 has no public hook.
    const resolver = Module as unknown as Resolver;
    const resolve = resolver._resolveFilename;
    resolver._resolveFilename = function (request, ...rest) {
      return request === NAME ? fileURLToPath(index) : resolve.call(this, request, ...rest);
    };
  })();
  return known;
}

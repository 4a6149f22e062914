import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options?: { readonly type: 'minor' }) => void;

let collect: Collect | undefined;

/**
 * Frees what JavaScript has just stopped using: a collection of the young objects, about a millisecond.
 *
 * Buffers of native libraries lie outside of V8's heap, and V8 does not know how large they are: to it a decoded image of
 * 200 kB is a few bytes, so it collects them late, and memory grows by hundreds of them meanwhile.
 */
export function collectYoung(): void {
  collect ??= exposed();
  collect({ type: 'minor' });
}

function exposed(): Collect {
  if (globalThis.gc !== undefined) return globalThis.gc as Collect;
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}

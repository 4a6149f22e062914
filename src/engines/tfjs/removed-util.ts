import util from 'node:util';

/** Functions that Node 23 took out of `util`, which tfjs-node 4.22 calls. */
const removed = {
  isArray: Array.isArray,
  isNullOrUndefined: (value: unknown): value is null | undefined => value === null || value === undefined,
};

/** Puts them back, where they are not there, before tfjs-node is loaded. @param into in tests, another object */
export function restoreRemovedUtil(into: object = util): void {
  for (const [name, value] of Object.entries(removed)) {
    if (!(name in into)) Object.defineProperty(into, name, { value, configurable: true });
  }
}

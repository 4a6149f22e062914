import * as module from 'node:module';

/**
 * Has every import of this process pass by a function of nothing but its arguments. Node 26 warns of `register`, Node 20
 * has nothing else.
 */
export function onResolve(resolve) {
  if (module.registerHooks !== undefined) module.registerHooks({ resolve });
  else module.register(`data:text/javascript,${encodeURIComponent(`export const resolve = ${resolve}`)}`);
}

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { oneLine } from '../../setup/fail.js';
import type { AddonPackage } from './machine.js';

/** What loading the addon gave. */
export type Smoke =
  | { readonly works: true; readonly tensorflow: string; readonly gpu: boolean }
  | { readonly works: false; readonly why: string };

const PROGRAM = `
const util = require('node:util'); // as restoreRemovedUtil
util.isNullOrUndefined ??= (value) => value == null;
util.isArray ??= Array.isArray;
const tf = require(process.argv[1]);
(async () => {
  await tf.ready();
  if (tf.getBackend() !== 'tensorflow') throw new Error('backend is ' + tf.getBackend());
  const x = tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3, 1]), w = tf.ones([2, 2, 1, 1]);
  const y = Array.from(tf.conv2d(x, w, 1, 'valid').dataSync());
  const [dx, dw] = tf.grads((a, b) => tf.conv2d(a, b, 1, 'valid').sum())([x, w]);
  const m = Array.from(tf.matMul([[1, 2], [3, 4]], [[5, 6], [7, 8]]).dataSync());
  const got = JSON.stringify([y, Array.from(dw.dataSync()), Array.from(dx.dataSync()), m]);
  const want = '[[12,16,24,28],[12,16,24,28],[1,2,1,2,4,2,1,2,1],[19,22,43,50]]';
  if (got !== want) throw new Error('wrong results: ' + got);
  const { binding, isUsingGpuDevice } = tf.backend();
  process.stdout.write('SMOKE ' + JSON.stringify({ tensorflow: binding.TF_Version, gpu: isUsingGpuDevice }) + '\\n');
})().catch((e) => { console.error('Error: ' + String(e?.message ?? e).split('\\n')[0]); process.exit(1); });
`;

/** Loads the package in a child process and does a little arithmetic in it, gradients of a convolution included. */
export function smokeTest({ addon, folder }: AddonPackage): Smoke {
  if (!existsSync(addon)) return { works: false, why: `${addon} does not exist` };
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['-e', PROGRAM, folder], {
    encoding: 'utf8',
    timeout: 300_000,
    maxBuffer: 2 ** 26,
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: process.env['TF_CPP_MIN_LOG_LEVEL'] ?? '2', NODE_OPTIONS: '' },
  });
  const line = /^SMOKE (.*)$/m.exec(stdout ?? '');
  if (status === 0 && line?.[1] !== undefined) {
    return { works: true, ...(JSON.parse(line[1]) as { tensorflow: string; gpu: boolean }) };
  }
  if (signal === 'SIGILL') return { works: false, why: 'this processor lacks an instruction that the wheel needs' };
  if (signal !== null) {
    return { works: false, why: `ended by ${signal}${signal === 'SIGTERM' ? ' (no result in 300 s)' : ''}` };
  }
  return { works: false, why: oneLine(stderr || stdout || `exit ${status}`) };
}

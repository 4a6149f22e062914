// The tests, in three runs of mocha: those that start commands and wait for them, two files at a time; then all others one by one, since
// native libraries share a process only in some orders; then one whose processor time is bounded, and which is slower in a process that
// has done much. All run whatever becomes of the others. What is given goes to all.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
const waiting = 'test/{batch,cli,faults}/**/*.test.ts';
const bounded = 'test/fuzz/ownNetwork.test.ts';
for (const args of [
  ['--parallel', '--jobs', '2', waiting],
  ['--ignore', waiting, '--ignore', bounded, 'test/**/*.test.ts'],
  [bounded],
]) {
  const env = { ...process.env, TSX_DISABLE_CACHE: '' }; // processes that tests start need not compile the sources again
  const { status } = spawnSync(process.execPath, [mocha, ...args, ...process.argv.slice(2)], { stdio: 'inherit', env });
  if (status !== 0) process.exitCode = 1;
}

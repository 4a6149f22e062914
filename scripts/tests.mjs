// The tests, in two runs of mocha side by side: those that start commands and wait for them, and all others. In each the files run one
// by one, since native libraries share a process only in some orders. Both run whatever becomes of the other. What is given goes to both.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';

const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
const waiting = 'test/{batch,cli,faults,fuzz,examples}{/**/*,}.test.ts';
const env = { ...process.env, TSX_DISABLE_CACHE: '' }; // processes that tests start need not compile the sources again

const start = (args, output) =>
  spawn(process.execPath, [mocha, ...args, ...process.argv.slice(2)], { stdio: ['inherit', output, output], env });
const ended = async (run) => {
  const [status] = await once(run, 'close');
  if (status !== 0) process.exitCode = 1;
};

const [others, commands] = [start(['--ignore', waiting, 'test/**/*.test.ts'], 'inherit'), start([waiting], 'pipe')];
// What the commands' tests say is kept until the others are through.
const said = [];
let show = (text) => said.push(text);
for (const stream of [commands.stdout, commands.stderr]) stream.on('data', (text) => show(text));
const both = [ended(others), ended(commands)];
await both[0];
process.stdout.write(Buffer.concat(said));
show = (text) => process.stdout.write(text);
await both[1];

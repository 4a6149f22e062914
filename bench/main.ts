/**
 * npm run bench [-- NAME...] [--list] [--csv FILE]
 *
 * Runs benchmarks (all by default, each in a process of its own, about four minutes each): us and what stands against us
 * in turn. Printed for each: a table of ratios ours / other, median and quartiles of the rounds. Written: its lines of
 * results/bench.csv, with machine, versions and date. Exit status: 0 measured, whatever came out; 1 one failed; 2 bad
 * usage.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { InputError, messageOf } from '../src/errors.js';
import { runBenchmark } from './runner/run.js';
import { benchmarkNames, loadBenchmark } from './runner/suite.js';

const usage = `npm run bench [-- NAME...]       all benchmarks, or these: ${benchmarkNames.join(', ')}
npm run bench -- --list          what each measures
npm run bench -- --csv FILE      where the lines go (results/bench.csv)
bench/peers.sh                   installs what some of them measure against (PyPI)
`;

async function list(): Promise<void> {
  for (const name of benchmarkNames) process.stdout.write(`${name.padEnd(14)} ${(await loadBenchmark(name)).title}\n`);
}

/** Each in a process of its own, so that none finds the threads and the memory of the one before. @returns exit status */
function runEach(names: readonly string[], csv: string): number {
  const failed = names.filter((name) => {
    const args = [...process.execArgv, fileURLToPath(import.meta.url), name, '--csv', csv];
    return spawnSync(process.execPath, args, { stdio: 'inherit' }).status !== 0;
  });
  if (failed.length > 0) process.stderr.write(`bench: failed: ${failed.join(', ')}\n`);
  return failed.length > 0 ? 1 : 0;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      csv: { type: 'string', default: fileURLToPath(new URL('../results/bench.csv', import.meta.url)) },
      help: { type: 'boolean', short: 'h', default: false },
      list: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.filter((name) => !benchmarkNames.includes(name));
  if (unknown.length > 0) throw new InputError(`${unknown.join(', ')}: valid: ${benchmarkNames.join(', ')}`);
  if (values.help) process.stdout.write(usage);
  else if (values.list) await list();
  else if (positionals.length === 1) await runBenchmark(await loadBenchmark(positionals[0]!), values.csv);
  else return runEach(positionals.length > 0 ? positionals : benchmarkNames, values.csv);
  return 0;
}

process.exitCode = await main().catch((error: unknown) => {
  const isUsage =
    error instanceof InputError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true;
  process.stderr.write(`bench: ${isUsage ? messageOf(error) : (error as Error).stack}\n`);
  return isUsage ? 2 : 1;
});

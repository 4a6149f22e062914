import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../../src/project.js';
import { inTurn, ratioOf, type Work } from '../runner/pairs.js';
import { profileText, readProfile } from '../runner/profile.js';
import type { Benchmark, Ratio } from '../runner/types.js';

const dgate = fileURLToPath(new URL('dist/bin/dgate.js', projectRoot));

/** What is typed again and again, and how long it may take. */
interface Command {
  readonly what: string;
  readonly args: readonly string[];
  readonly limitSeconds: number;
  readonly rounds: number;
}

export const benchmark: Benchmark = {
  name: 'warm',
  title:
    'dgate run table1 with everything in the cache, and start-up: whole processes, from the shell to the last line',
  peers: [],
  async run({ say }) {
    say('npm run build');
    succeed('npm', ['run', 'build']);
    const results = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
    try {
      const table = ['run', 'table1', '--results', results];
      const commands: Command[] = [
        { what: 'dgate --help', args: ['--help'], limitSeconds: 0.2, rounds: 21 },
        { what: 'dgate list experiments', args: ['list', 'experiments'], limitSeconds: 0.5, rounds: 11 },
        { what: 'dgate run table1, warm', args: table, limitSeconds: 2, rounds: 15 },
      ];
      say('dgate run table1: fills the cache where it is not there yet (minutes)');
      dgateSeconds(table);
      const rows: Ratio[] = [];
      for (const command of commands) {
        say(`${command.what}, ${command.rounds} rounds`);
        rows.push(...(await measure(command)));
      }
      return rows;
    } finally {
      await rm(results, { recursive: true });
    }
  },
};

/** A command against its limit, in turn with Node that does nothing: what no program written for it can go below. */
async function measure({ what, args, limitSeconds, rounds }: Command): Promise<Ratio[]> {
  const ours: Work = () => dgateSeconds(args);
  const pairs = await inTurn(ours, () => seconds(process.execPath, ['-e', '0']), { rounds });
  const limits = pairs.map((pair) => ({ ours: pair.ours, peer: limitSeconds }));
  return [
    ratioOf(limits, { what, against: 'limit', unit: 's', target: { atMost: 1 }, note: await profiled(args) }),
    ratioOf(pairs, { what, against: 'node -e 0', unit: 's' }),
  ];
}

/** Where the time of a command goes, by V8's profiler, which slows it down somewhat. */
async function profiled(args: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dgate-profile-'));
  try {
    succeed(process.execPath, ['--cpu-prof', '--cpu-prof-dir', folder, dgate, ...args]);
    const parts = await readProfile(folder);
    const total = parts.reduce((sum, { ms }) => sum + ms, 0);
    return `profile, ${total.toFixed(0)} ms: ${profileText(parts)}`;
  } finally {
    await rm(folder, { recursive: true });
  }
}

const dgateSeconds = (args: readonly string[]): number => seconds(process.execPath, [dgate, ...args]);

function seconds(program: string, args: readonly string[]): number {
  const start = performance.now();
  succeed(program, args);
  return (performance.now() - start) / 1000;
}

function succeed(program: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: fileURLToPath(projectRoot),
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? (stderr || stdout)}`);
}

import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { parse } from 'csv-parse/sync';
import { readSafetensors } from '../../src/checkpoints/load.js';
import { Random } from '../../src/random.js';
import { exists, sha256 } from '../../src/store/files.js';
import { CTRL_C, finished, hasTerminals, real, startCli, writeTinyExperiment } from '../cli/cli.js';
import { filesBelow, tinyNetwork } from '../run/workplace.js';
import { smallest } from '../training/child.js';
import { whole } from './faults.js';

/** Of each command; `npm run test:faults` makes 100 interruptions and 60 kills. */
const ROUNDS = Number(process.env['DGATE_FAULTS_ROUNDS'] ?? (whole ? 20 : 1));
const KILLS = Number(process.env['DGATE_FAULTS_KILLS'] ?? (whole ? 60 : 5));
const SEED = Number(process.env['DGATE_FAULTS_SEED'] ?? 0);

/** A command in a folder, and what it came to there, as text that must be the same however often it was interrupted. */
interface Job {
  readonly args: (folder: string) => Promise<readonly string[]>;
  readonly result: (folder: string, stdout: string) => Promise<string>;
  /** On the real CIFAR-10. */
  readonly isReal?: boolean;
}

describe(`commands interrupted on a terminal and killed, at random moments (seed ${SEED})`, function () {
  this.timeout(300_000 + (5 * ROUNDS + KILLS) * 60_000);
  let root: string;
  let definition: string;
  let env: Record<string, string>;

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'dgate-commands-'));
    definition = await writeTinyExperiment(root, 'seed: 0');
    // A Slurm that takes everything, slowly.
    await mkdir(join(root, 'bin'));
    for (const name of ['sbatch', 'scancel', 'squeue']) {
      await writeFile(join(root, 'bin', name), '#!/bin/sh\nsleep 0.2\necho 1000\n');
      await chmod(join(root, 'bin', name), 0o755);
    }
    env = { PATH: `${join(root, 'bin')}:${process.env['PATH']}` };
    const update = ['check', definition, '--preset', 'laptop', '--baseline', join(root, 'baseline'), '--update'];
    const places = ['--cache', join(root, 'first-cache'), '--results', join(root, 'first-tables')];
    const made = await finished(await startCli([...update, ...places], { generated: true, env }));
    expect(made.status, made.stderr).to.equal(0);
  });
  after(() => rm(root, { recursive: true, force: true }));

  const fileAt = (name: string) => async (folder: string) => sha256(await readFile(join(folder, name)));
  const rows = async (_: string, stdout: string): Promise<string> => {
    const document = JSON.parse(stdout) as { rows: Record<string, unknown>[] };
    return JSON.stringify(
      document.rows.map(({ model, thresholds, accuracy, flops, exits }) => [model, thresholds, accuracy, flops, exits]),
    );
  };
  /** The run's table but for what a clock said. */
  const untimed = async (folder: string): Promise<string> => {
    const path = (await filesBelow(folder)).find((name) => name.endsWith('/table.csv'))!;
    const lines: string[][] = parse(await readFile(join(folder, path)));
    const kept = lines[0]!.map((column) => !/speed|_ms|seconds|per_second|efficiency/i.test(column));
    return lines.map((line) => line.filter((_, i) => kept[i]).join(',')).join('\n');
  };
  const jobs: Readonly<Record<string, Job>> = {
    run: { args: async () => ['run', definition, '--json'], result: rows },
    time: { args: async () => ['time', definition, '--images', '64', '--repeats', '2'], result: untimed },
    train: {
      args: async (folder) => {
        const begun = await exists(join(folder, 't.state.safetensors'));
        const recipe = '--engine tfjs-cpu --epochs 1 --batch-size 50 --train-images 200 --seed 3 --checkpoint-every 1';
        return [
          'train',
          smallest,
          '--out',
          join(folder, 't.safetensors'),
          ...(begun ? ['--resume'] : recipe.split(' ')),
        ];
      },
      result: async (folder) => {
        const { tensors } = await readSafetensors(join(folder, 't.safetensors'));
        return [...tensors]
          .map(([name, { data }]) => `${name} ${sha256(Buffer.from(data.buffer, data.byteOffset, data.byteLength))}`)
          .join('\n');
      },
    },
    fetch: {
      args: async () => [
        'data',
        'fetch',
        'cifar10',
        '--from',
        join(real.data, 'cifar10/cifar-10-batches-bin'),
        '--json',
      ],
      result: async (_, stdout) => JSON.stringify((JSON.parse(stdout) as { files: unknown }).files),
      isReal: true,
    },
    submit: {
      args: async () => ['submit', definition, '--json'],
      result: async (_, stdout) => JSON.stringify((JSON.parse(stdout) as { jobs: unknown }).jobs),
    },
    import: {
      args: async (folder) => [
        'model',
        'import',
        join(root, 'tiny.safetensors'),
        '--network',
        tinyNetwork,
        '--out',
        join(folder, 'i.safetensors'),
      ],
      result: fileAt('i.safetensors'),
    },
    check: {
      args: async () => ['check', definition, '--preset', 'laptop', '--baseline', join(root, 'baseline'), '--json'],
      result: async (_, stdout) => stdout,
    },
    export: {
      args: async (folder) => ['export', definition, '--margin', '0.05', '--out', join(folder, 'g.onnx')],
      result: fileAt('g.onnx'),
    },
  };

  const start = async ({ args, isReal }: Job, folder: string, terminal = false) => {
    const places = ['--cache', join(folder, 'cache'), '--results', join(folder, 'tables')];
    return startCli([...(await args(folder)), ...places], { generated: !isReal, terminal, env });
  };

  /** Disturbs runs at random moments. @returns ms from the disturbance to the end, of those that were not faster */
  async function disturb(name: string, rounds: number, how: 'Ctrl-C' | 'SIGKILL'): Promise<number[]> {
    const job = jobs[name]!;
    const random = new Random(SEED, `${name} ${how}`);
    const straight = join(root, `${name}-${how}`);
    await mkdir(straight);
    const first = await finished(await start(job, straight));
    expect(first.status, first.stderr).to.equal(0);
    const expected = await job.result(straight, first.stdout);
    const took: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const folder = join(root, `${name}-${how}-${round}`);
      await mkdir(folder);
      const running = await start(job, folder, how === 'Ctrl-C');
      const done = finished(running);
      await delay(random.uniform() * 900 * first.seconds);
      const sent = performance.now();
      if (how === 'SIGKILL') running.process.kill('SIGKILL');
      else if (running.process.exitCode === null) running.process.stdin!.write(CTRL_C);
      const { status, stdout } = await done;
      if (status !== 0) {
        took.push(performance.now() - sent);
        if (how === 'Ctrl-C') {
          expect(status, stdout).to.equal(130);
          const left = (await filesBelow(folder)).filter((file) => /\.(tmp|lock)$|\.tmp\//.test(file));
          expect(left).to.deep.equal([]);
        }
        const again = await finished(await start(job, folder));
        expect(again.status, again.stderr).to.equal(0);
        expect(await job.result(folder, again.stdout)).to.equal(expected);
      }
      await rm(folder, { recursive: true });
    }
    return took;
  }

  for (const name of ['run', 'train', 'time', 'fetch', 'submit']) {
    it(`${name}, interrupted ${ROUNDS} times, ends in the same as undisturbed`, async function () {
      if (!hasTerminals || (jobs[name]!.isReal && !real.hasData)) this.skip();
      const took = await disturb(name, ROUNDS, 'Ctrl-C');
      console.log(`      ${took.length} times, slowest end ${Math.max(0, ...took).toFixed(0)} ms`);
    });
  }

  for (const name of whole ? ['run', 'train', 'check', 'import', 'export'] : ['run', 'check', 'import']) {
    it(`${name}, killed ${Math.ceil(KILLS / 5)} times, ends in the same as undisturbed`, async () => {
      const took = await disturb(name, Math.ceil(KILLS / 5), 'SIGKILL');
      console.log(`      ${took.length} times`);
    });
  }
});

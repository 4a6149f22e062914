import { execFileSync } from 'node:child_process';
import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { Submission, statusOf, type TaskStatus } from '../../../src/batch/slurm/submission.js';
import { makePlace, type Place, type Result, runCli } from '../../cli/cli.js';
import { tinyNetwork, writeTinyCheckpoint } from '../../run/workplace.js';

const succeeds = (program: string, args: readonly string[]): boolean => {
  try {
    execFileSync(program, args, { timeout: 120_000, stdio: 'ignore' }); // for one that hangs
    return true;
  } catch {
    return false;
  }
};

/** Whether a Slurm answers here; `.ci/slurm.sh` starts one of a single node. */
const hasSlurm = succeeds('sinfo', ['--noheader']);

describe('submissions to a Slurm cluster', () => {
  let place: Place;
  let definition: string;

  before(async function () {
    if (!hasSlurm) this.skip();
    place = await makePlace();
    definition = join(place.folder, 'tiny.mjs');
    await writeTinyCheckpoint(join(place.folder, 'tiny.safetensors'));
    await writeFile(
      definition,
      `export default {
        name: 'tiny', title: 'Two gates on generated images', network: '${tinyNetwork}',
        checkpoint: '${join(place.folder, 'tiny.safetensors')}',
        gates: { after: [1, 2], pooling: '2x2', epochs: 2 }, thresholds: { margins: [0.01], fixed: [[-0.5, -0.5]] },
      };`,
    );
  });
  after(() => place?.remove());

  const cli = (args: readonly string[], cache: string, env = {}): Promise<Result> => {
    const folders = ['--cache', join(place.folder, cache), '--results', join(place.folder, `${cache}-tables`)];
    return runCli([...args, ...folders], { generated: true, cwd: place.folder, env });
  };

  /** Where the tasks stand once none waits or runs. @param meanwhile done each time before they are looked at */
  const ended = async (cache: string, meanwhile = (): unknown => undefined): Promise<TaskStatus[]> => {
    const [id] = await Submission.list(join(place.folder, cache));
    const submission = await Submission.open(join(place.folder, cache, 'submissions', id!));
    for (;;) {
      meanwhile();
      const tasks = await statusOf(submission);
      if (tasks.every(({ state }) => state === 'done' || state === 'failed')) return tasks;
      await delay(500);
    }
  };

  const failedOf = (tasks: readonly TaskStatus[]): Record<string, string> =>
    Object.fromEntries(tasks.flatMap(({ task, state, why }) => (state === 'failed' ? [[task.id, why]] : [])));

  const csvIn = async (cache: string): Promise<string> => {
    const tables = join(place.folder, `${cache}-tables`, 'tiny');
    const [run] = (await readdir(tables)).filter((name) => /^laptop-[0-9a-f]{8}$/.test(name));
    return readFile(join(tables, run!, 'table.csv'), 'utf8');
  };

  it('end in the same CSV, byte for byte, as a local run; with a task killed half-way and requeued, too', async () => {
    const local = cli(['run', definition], 'local');
    const slow = { TEST_BATCH_MS: '200' };
    const submitted = await cli(['submit', definition, '--shards', '4', '--at-once', '2', '--json'], 'cluster', slow);
    expect(submitted.status, submitted.stderr).to.equal(0);
    const { jobs } = JSON.parse(submitted.stdout) as { jobs: { stage: string; job: string }[] };
    expect(jobs.map(({ stage }) => stage)).to.deep.equal(['data', 'extract', 'gate', 'run']);

    const extract = jobs.find(({ stage }) => stage === 'extract')!.job;
    const log = join(place.folder, 'cluster', 'submissions');
    const [id] = await readdir(log);
    const begun = async (): Promise<boolean> =>
      (await readFile(join(log, id!, 'logs', 'extract-3.log'), 'utf8').catch(() => '')).includes('extracting');
    while (!(await begun())) await delay(50);
    execFileSync('scontrol', ['requeue', `${extract}_3`]);

    // Slurm lets a requeued task wait for two minutes, unless it is told otherwise once the killed one is gone: again and again.
    const hurry = (): unknown => succeeds('scontrol', ['update', `jobid=${extract}_3`, 'starttime=now']);
    expect(failedOf(await ended('cluster', hurry))).to.deep.equal({});
    expect(await readFile(join(log, id!, 'logs', 'extract-3.log'), 'utf8')).to.match(/interrupted|CANCELLED|requeue/i);
    expect((await local).status).to.equal(0);
    expect(await csvIn('cluster')).to.equal(await csvIn('local'));
  });

  it('say which task failed and why, finish the rest, and do what failed again', async () => {
    // Weights of another network in the second file: its first task fails, whenever it is run.
    const [good, bad] = [join(place.folder, 'tiny.safetensors'), join(place.folder, 'other.safetensors')];
    await writeTinyCheckpoint(bad, { network: 'resnet20-width0.5-cifar10' });
    const grid = ['submit', definition, '--set', `checkpoint=${good},${bad}`];
    expect((await cli(grid, 'failing')).status).to.equal(0);
    const failed = failedOf(await ended('failing'));
    expect(Object.keys(failed)).to.have.members(['data-1', 'extract-1', 'gate-2', 'gate-3', 'run-1', 'table-0']);
    expect(failed['data-1']).to.include('other.safetensors');
    const cause = `needs data-1, which failed: ${failed['data-1']}`;
    for (const id of ['extract-1', 'gate-2', 'gate-3', 'run-1']) expect(failed[id], id).to.equal(cause);
    expect(failed['table-0']).to.equal(`1 of 2 missing: run-1: ${cause}`);

    const shown = await cli(['submit', '--status'], 'failing');
    expect(shown.status).to.equal(1);
    expect(shown.stdout).to.include('6 failed');

    await copyFile(good, bad);
    const again = await cli(['submit', '--resubmit'], 'failing');
    expect(again.status, again.stderr).to.equal(0);
    expect(failedOf(await ended('failing'))).to.deep.equal({});
    const tables = join(place.folder, 'failing-tables', 'tiny');
    const merged = (await readdir(tables)).find((name) => name.includes('-grid-'))!;
    const lines = (await readFile(join(tables, merged, 'grid.csv'), 'utf8')).trim().split('\n');
    expect(lines).to.have.length(1 + 2 * 3);
  });
});

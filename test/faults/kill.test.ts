import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { filesBelow } from '../run/workplace.js';
import { type Child, type Source, startChild, startSource, watch, whole } from './faults.js';
import type { Told } from './work.js';

/** `npm run test:faults` kills a hundred times; the normal suite a few times. */
const KILLS = Number(process.env['DGATE_FAULTS_KILLS'] ?? (whole ? 100 : 3));
const SEED = Number(process.env['DGATE_FAULTS_SEED'] ?? 0);
/** Kills of one place before its run is left to come to its end and its table is looked at. */
const KILLS_OF_A_PLACE = 4;

/** Stages in their order, and what a run has said when one begins; the search begins when the scores are in the cache. */
const stages = [
  { name: 'fetching', begins: /stage: fetching/ },
  { name: 'extraction', begins: /; extracting on/ },
  { name: 'training', begins: /; training on/ },
  { name: 'scoring', begins: /scores of test images: not in the cache/ },
  { name: 'search', begins: /scores of test images: / },
  { name: 'reporting', begins: /stage: reporting/ },
  { name: 'timing', begins: /stage: timing/ },
] as const;
type Stage = (typeof stages)[number];

describe(`a run killed at ${KILLS} random moments of all its stages (seed ${SEED})`, function () {
  this.timeout(120_000 + KILLS * 120_000);
  let source: Source;
  let folder: string;
  before(async () => {
    source = await startSource();
    folder = await mkdtemp(join(tmpdir(), 'dgate-faults-'));
  });
  after(async () => {
    await source?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const told = (place: string): Told => {
    return { folder: join(folder, place), ...source.told, train: 1300, test: 200, time: true };
  };

  async function hasBegun({ name, begins }: Stage, child: Child, place: string): Promise<boolean> {
    if (!begins.test(child.stderr())) return false;
    return name !== 'search' || (await filesBelow(join(folder, place))).some(isScores);
  }

  /** Waits until a stage begins. @returns whether it does: not where it was done before the run was killed the last time */
  async function beginning(stage: Stage, child: Child, place: string): Promise<boolean> {
    while (!(await hasBegun(stage, child, place))) {
      if (child.process.exitCode !== null || child.process.signalCode !== null) return false;
      await delay(2);
    }
    return true;
  }

  it('ends in the table of an undisturbed run, and no file is ever seen half-written', async () => {
    const first = startChild(told('undisturbed'));
    const began = await Promise.all(
      stages.map(async (stage) => ((await beginning(stage, first, 'undisturbed')) ? performance.now() : Number.NaN)),
    );
    const undisturbed = await first.ended;
    expect(undisturbed.status, undisturbed.stderr).to.equal(0);
    const ends = [...began.slice(1), performance.now()];
    for (const [i, { name }] of stages.entries()) expect(began[i], name).not.to.be.NaN;
    // On a busy machine one stage is seen to begin a moment after the next one.
    const lengthMs = new Map(stages.map((stage, i) => [stage, Math.max(0, ends[i]! - began[i]!)]));

    const random = new Random(SEED, 'kills');
    const killed = new Map<string, number>(stages.map(({ name }) => [name, 0]));
    let [kills, runs, looked] = [0, 0, 0];

    /** Kills a run at a random moment of a stage. @returns whether it was killed, or else had come to its end before */
    const kill = async (stage: Stage, place: string): Promise<boolean> => {
      const child = startChild(told(place));
      if (await beginning(stage, child, place)) await delay(random.uniform() * lengthMs.get(stage)!);
      child.process.kill('SIGKILL');
      const { signal } = await child.ended;
      if (signal !== 'SIGKILL') return false;
      const met = await Promise.all(stages.map((each) => hasBegun(each, child, place)));
      const { name } = stages[met.lastIndexOf(true)]!;
      killed.set(name, killed.get(name)! + 1);
      return true;
    };

    for (let place = 0; kills < KILLS; place++) {
      const watcher = watch(join(folder, `${place}`), source);
      // What was computed before stays: each kill meets the stage of the one before, or a later one.
      const targets = Array.from({ length: Math.min(KILLS_OF_A_PLACE, KILLS - kills) }, () =>
        random.below(stages.length),
      );
      for (const target of targets.sort((a, b) => a - b)) if (await kill(stages[target]!, `${place}`)) kills++;
      const { status, stdout, stderr } = await startChild(told(`${place}`)).ended;
      expect(status, stderr).to.equal(0);
      expect(stdout).to.equal(undisturbed.stdout);
      expect(stderr).not.to.contain('warning:');
      runs++;
      const seen = await watcher.stop();
      looked += seen.looked;
      expect(seen.broken).to.deep.equal([]);
      const left = (await filesBelow(join(folder, `${place}`))).filter((name) => /\.(part|tmp)/.test(name));
      expect(left).to.deep.equal([]);
      await rm(join(folder, `${place}`), { recursive: true });
    }
    const counts = [...killed].map(([stage, count]) => `${stage} ${count}`).join(', ');
    console.log(`      ${kills} kills (${counts}), ${runs} runs to the end, ${looked} versions of files looked at`);
    if (KILLS >= 50)
      expect(
        [...killed.values()].filter((count) => count === 0),
        counts,
      ).to.have.length(0);
  });
});

const isScores = (name: string): boolean => /^results\/scores\/.*manifest\.json$/.test(name);

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { filesBelow } from '../pipeline/workplace.js';
import { type Child, type Source, startChild, startSource, watch, whole } from './faults.js';
import type { Told } from './work.js';

/** `npm run test:faults` kills a hundred times; the normal suite a few times. */
const KILLS = Number(process.env['DGATE_FAULTS_KILLS'] ?? (whole ? 100 : 3));
const SEED = Number(process.env['DGATE_FAULTS_SEED'] ?? 0);

describe(`a run killed at ${KILLS} random moments (seed ${SEED}) from fetch to timing`, function () {
  this.timeout(60_000 + KILLS * 60_000);
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

  it('ends in the table of an undisturbed run, and no file is ever seen half-written', async () => {
    const told = (place: string): Told => {
      return { folder: join(folder, place), ...source.told, train: 1300, test: 200, time: true };
    };
    const first = startChild(told('undisturbed'));
    await loaded(first);
    const began = performance.now();
    const undisturbed = await first.ended;
    expect(undisturbed.status, undisturbed.stderr).to.equal(0);
    const wholeMs = performance.now() - began;

    const random = new Random(SEED, 'kills');
    const where = new Map<string, number>();
    let [kills, runs, looked] = [0, 0, 0];
    for (let place = 0; kills < KILLS; place++) {
      const watcher = watch(join(folder, `${place}`), source);
      // Killed until it gets through; what it computed before stays, so that later kills meet later stages.
      for (;;) {
        const child = startChild(told(`${place}`));
        if (kills < KILLS) {
          const ended = await Promise.race([child.ended, loaded(child).then(() => delay(random.uniform() * wholeMs))]);
          if (ended === undefined && child.process.kill('SIGKILL')) {
            const { stderr, signal } = await child.ended;
            if (signal === 'SIGKILL') {
              kills++;
              const stage = stageIn(stderr);
              where.set(stage, (where.get(stage) ?? 0) + 1);
              continue;
            }
          }
        }
        const { status, stdout, stderr } = await child.ended;
        expect(status, stderr).to.equal(0);
        expect(stdout).to.equal(undisturbed.stdout);
        expect(stderr).not.to.contain('warning:');
        runs++;
        break;
      }
      const seen = await watcher.stop();
      looked += seen.looked;
      expect(seen.broken).to.deep.equal([]);
      const left = (await filesBelow(join(folder, `${place}`))).filter((name) => /\.(part|tmp)/.test(name));
      expect(left).to.deep.equal([]);
      await rm(join(folder, `${place}`), { recursive: true });
    }
    const stages = [...where].map(([stage, count]) => `${stage} ${count}`).join(', ');
    console.log(`      ${kills} kills (${stages}), ${runs} runs to the end, ${looked} versions of files looked at`);
  });
});

/** A run says something as soon as its modules are loaded, which is most of what a small one takes. */
async function loaded({ process: { exitCode }, stderr }: Child): Promise<void> {
  while (stderr() === '' && exitCode === null) await delay(2);
}

/** What a run was doing when it was killed, by the last that it said. */
function stageIn(stderr: string): string {
  const stages = [
    ['in reporting or timing', /scores of test images: (in the cache|not in)/],
    ['in training', /; training on/],
    ['in extraction', /; extracting on/],
    ['in fetching', /tiny\.safetensors/],
  ] as const;
  return stages.find(([, pattern]) => pattern.test(stderr))?.[0] ?? 'at the start';
}

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { finished, runCli, startCli } from '../cli/cli.js';
import { filesBelow, tinyNetwork, writeTinyCheckpoint } from '../run/workplace.js';
import { whole } from './faults.js';

/** Rounds of each signal; twenty in `npm run test:faults`. */
const ROUNDS = Number(process.env['DGATE_FAULTS_ROUNDS'] ?? (whole ? 20 : 1));
const SEED = Number(process.env['DGATE_FAULTS_SEED'] ?? 0);
/** From the signal to the end of the process, in ms; measured where nothing else runs, in `npm run test:faults`. */
const LIMIT_MS = whole ? 2000 : Number.POSITIVE_INFINITY;
/** A machine that is busy with something else may be late now and then, but not so often in a row. */
const TRIES = 3;

describe(`dgate run, interrupted at ${ROUNDS} random moments by each of SIGINT and SIGTERM (seed ${SEED})`, function () {
  this.timeout(120_000 + ROUNDS * 240_000);
  let folder: string;
  let definition: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-signals-'));
    const checkpoint = join(folder, 'tiny.safetensors');
    await writeTinyCheckpoint(checkpoint);
    definition = join(folder, 'mine.mjs');
    const text = {
      name: 'mine',
      title: 'Interrupted',
      network: tinyNetwork,
      checkpoint,
      gates: { after: [1, 2], pooling: '4x4', epochs: 40 },
      thresholds: { margins: [0.01] },
    };
    await writeFile(definition, `export default ${JSON.stringify(text)};\n`);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const command = (place: string): string[] => {
    return ['run', definition, '--cache', join(folder, place, 'cache'), '--results', join(folder, place, 'tables')];
  };

  async function tableIn(place: string): Promise<string> {
    const [run] = await readdir(join(folder, place, 'tables', 'mine'));
    const { readFile } = await import('node:fs/promises');
    return readFile(join(folder, place, 'tables', 'mine', run!, 'table.csv'), 'utf8');
  }

  it('ends within 2 s, says that the same command goes on, leaves nothing behind, and goes on', async () => {
    const undisturbed = await runCli(command('undisturbed'), { generated: true });
    expect(undisturbed.status, undisturbed.stderr).to.equal(0);
    const table = await tableIn('undisturbed');
    const random = new Random(SEED, 'signals');
    const slowest = { SIGINT: 0, SIGTERM: 0 };
    const count = { SIGINT: 0, SIGTERM: 0 };
    const statuses = { SIGINT: 130, SIGTERM: 143 };

    /** One run, interrupted and taken up again. @returns ms from the signal to its end; undefined where it was faster */
    const interrupt = async (signal: 'SIGINT' | 'SIGTERM', place: string): Promise<number | undefined> => {
      const running = startCli(command(place), { generated: true });
      const done = finished(running);
      while (running.stderr === '' && running.process.exitCode === null) await delay(2);
      await delay(random.uniform() * 0.7 * 1000 * undisturbed.seconds);
      const sent = performance.now();
      const stopped = running.process.exitCode === null && running.process.kill(signal);
      const ended = await done;
      if (!stopped || ended.status === 0) return undefined;
      const took = performance.now() - sent;
      expect(ended.status, ended.stderr).to.equal(statuses[signal]);
      expect(ended.stderr).to.contain('dgate: interrupted; run the same command again to resume');
      const left = (await filesBelow(join(folder, place))).filter((name) => /\.(tmp|lock|part)$/.test(name));
      expect(left).to.deep.equal([]);
      const again = await runCli(command(place), { generated: true });
      expect(again.status, again.stderr).to.equal(0);
      expect(await tableIn(place)).to.equal(table);
      return took;
    };

    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      for (let round = 0; round < ROUNDS; round++) {
        let took: number | undefined;
        let attempt = 0;
        do {
          took = await interrupt(signal, `${signal}-${round}-${attempt++}`);
        } while (attempt < TRIES && took !== undefined && took > LIMIT_MS);
        if (took === undefined) continue;
        expect(took).to.be.at.most(LIMIT_MS);
        slowest[signal] = Math.max(slowest[signal], took);
        count[signal]++;
      }
    }
    const said = (['SIGINT', 'SIGTERM'] as const).map(
      (signal) => `${signal} ${count[signal]} times, slowest end ${slowest[signal].toFixed(0)} ms`,
    );
    console.log(`      ${said.join('; ')}`);
  });
});

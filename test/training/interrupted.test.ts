import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { readSafetensors } from '../../src/checkpoints/load.js';
import { loadTensorFlow } from '../../src/engines/tfjs/backend.js';
import { InputError } from '../../src/errors.js';
import { said, smallest, startTraining } from './child.js';

/** Milliseconds that each batch is made to take, and the longest time until a kill: sooner than the end. */
const BATCH_MS = 60;
const KILL_WITHIN_MS = 350;
const options = '--epochs 2 --batch-size 4 --seed 3 --checkpoint-every 2';

describe('an interrupted training', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-training-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** The curve without its seconds. */
  const curveOf = async (name: string) =>
    (await readFile(join(folder, `${name}.csv`), 'utf8')).split('\n').map((line) => line.split(',').slice(0, -1));

  for (const engine of ['tfjs-cpu', 'tfjs-node'] as const) {
    it(`killed three times, ends in the same bytes as an undisturbed one (${engine})`, async function () {
      await loadTensorFlow(engine).catch((error: unknown) => {
        if (!(error instanceof InputError)) throw error;
        this.skip(); // does not work here
      });
      const command = (name: string): string => `${smallest} --out ${name}.safetensors --engine ${engine}`;
      const straight = startTraining(folder, `${command(`straight-${engine}`)} ${options}`);
      const name = `killed-${engine}`;
      const moments: number[] = [];
      for (let kill = 0; kill < 3; kill++) {
        const run = startTraining(
          folder,
          `${command(name)} ${kill === 0 ? options : '--resume --checkpoint-every 2'}`,
          BATCH_MS,
        );
        await said(run, kill === 0 ? /engine: / : /resuming at epoch/);
        if (kill === 0) await stateExists(name);
        moments.push(Math.floor(KILL_WITHIN_MS * Math.random()));
        await delay(moments.at(-1));
        run.child.kill('SIGKILL');
        expect(await run.ended, run.stderr).to.equal('SIGKILL');
      }
      const last = startTraining(folder, `${command(name)} --resume`);
      expect(await last.ended, last.stderr).to.equal(0);
      expect(last.stderr).to.match(/resuming at epoch \d, after step \d/);
      expect(await straight.ended, straight.stderr).to.equal(0);

      const [a, b] = await Promise.all([`straight-${engine}`, name].map((file) => tensorsOf(file)));
      expect([...b!.keys()]).to.deep.equal([...a!.keys()]);
      for (const [tensor, { data }] of a!) {
        expect(bytes(b!.get(tensor)!.data), `${tensor}; killed after ${moments} ms`).to.equal(bytes(data));
      }
      expect(await curveOf(name)).to.deep.equal(await curveOf(`straight-${engine}`));
      const left = (await readdir(folder)).filter((file) => file.startsWith(name)).sort();
      expect(left).to.deep.equal([`${name}.csv`, `${name}.safetensors`]);
    });
  }

  async function stateExists(name: string): Promise<void> {
    while (!(await readdir(folder)).includes(`${name}.state.safetensors`)) await delay(5);
  }

  async function tensorsOf(name: string) {
    return (await readSafetensors(join(folder, `${name}.safetensors`))).tensors;
  }

  const bytes = (data: Float32Array): string =>
    Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex');

  it('says on SIGINT how to go on, and goes on; meanwhile no other writes the same files', async () => {
    const run = startTraining(
      folder,
      `${smallest} --out asked.safetensors --engine tfjs-cpu ${options}`,
      10 * BATCH_MS,
    );
    await said(run, /engine: /);
    await stateExists('asked');
    const second = startTraining(folder, `${smallest} --out asked.safetensors --resume`);
    expect([await second.ended, second.stdout], second.stderr).to.deep.equal([2, '']);
    expect(second.stderr).to.match(
      new RegExp(
        `^dgate: asked\\.safetensors: process ${run.child.pid} on \\S+ is training it; choose another --out, or wait until it ends\n$`,
      ),
    );
    run.child.kill('SIGINT');
    expect(await run.ended, run.stderr).to.equal(130);
    expect(run.stderr).to.match(
      /\ndgate: interrupted; saved: epoch 1, after step \d; resume with: dgate train \S+ --out asked\.safetensors --resume\n$/,
    );
    const other = startTraining(folder, `${smallest} --out asked.safetensors --resume --seed 4 --epochs 3`);
    expect(await other.ended).to.equal(2);
    expect(other.stderr).to.match(
      /was started with --seed 3, not 4; .*\n.*was started with --epochs 2, not 3; valid: the same/,
    );
  });

  it('stops at a loss that is not finite, and names the last good checkpoint', async () => {
    const run = startTraining(
      folder,
      `${smallest} --out wild.safetensors --engine tfjs-cpu --epochs 2 --batch-size 4 --learning-rate 1e30`,
    );
    expect(await run.ended, run.stderr).to.equal(1);
    expect(run.stderr).to.match(
      /\ndgate: epoch 1, after step \d: .*training stopped; last good checkpoint: wild\.state\.safetensors \(epoch 1, after step 0\)/,
    );
    expect(await readdir(folder))
      .to.include('wild.state.safetensors')
      .and.not.to.include('wild.safetensors');
    const { tensors } = await readSafetensors(join(folder, 'wild.state.safetensors'));
    for (const { data } of tensors.values()) expect(data.every(Number.isFinite)).to.equal(true);
  });
});

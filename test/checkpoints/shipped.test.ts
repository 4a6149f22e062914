import { stat } from 'node:fs/promises';
import { expect } from 'chai';
import { knownCheckpoints } from '../../src/checkpoints/known.js';
import { datasetNamed } from '../../src/data/registry.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { networkFlops } from '../../src/networks/network.js';
import { silent } from '../../src/progress.js';
import { obtainCheckpoint, openNetwork } from '../../src/run/source.js';
import { refusal } from './helpers.js';

/** Shares of the FLOPs at the ends of stages 1 to 3 of the paper's networks. */
const resnet101 = [0.088, 0.221, 0.895];
const densenet201 = [0.25, 0.446, 0.844];
const profiles = { resnet101, densenet201 };

describe('networks that ship with the project', () => {
  const shipped = knownCheckpoints.filter((known) => known.shipped !== undefined);

  it('are two sizes at least of the two of the tables, at most 90 MB together', () => {
    for (const [family, size] of Object.keys(profiles).flatMap((name) => [
      [name, 'small'],
      [name, 'narrow'],
    ])) {
      expect(shipped.map(({ id }) => id)).to.include(`dgate-${family}-${size}-cifar10`);
    }
    expect(shipped.reduce((sum, { sizeBytes }) => sum + sizeBytes!, 0)).to.be.below(90e6);
  });

  it('are taken where no checkpoint is named; a network of which none ships asks for one', async () => {
    const name = 'resnet101-width0.25-blocks1.1.7.1-cifar10';
    const { checkpoint } = await openNetwork(networkByName(name), undefined, 'unused', silent);
    expect(checkpoint.known?.id).to.equal('dgate-resnet101-narrow-cifar10');
    const none = networkByName('resnet101-width0.3-cifar10');
    await refusal(
      () => openNetwork(none, undefined, 'unused', silent),
      /width0\.3-cifar10: no checkpoint; valid: --check/,
    );
  });

  for (const known of shipped) {
    it(`${known.id} is what the registry says, and names a tenth of the training images as held out`, async () => {
      const path = await obtainCheckpoint(known, 'unused', silent);
      expect((await stat(path)).size).to.equal(known.sizeBytes);
      const source = await openNetwork(networkByName(known.network), known.id, 'unused', silent);
      expect(source.checkpoint).to.include({ sha256: known.sha256, known });
      await source.lowered(); // all tensors fit
      const held = await source.heldOut();
      const { train } = datasetNamed(known.dataset).splits;
      expect(held).to.have.length(train / 10);
      expect(held.at(-1)).to.be.below(train);
    });

    const family = /^(resnet101|densenet201)-.*-cifar10$/.exec(known.network)?.[1] as keyof typeof profiles | undefined;
    if (family === undefined) continue; // not one of the tables'
    it(`${known.id} has the cost profile of the paper's network within 0.06`, () => {
      const { flops, stages } = networkFlops(networkByName(known.network));
      for (const [stage, share] of profiles[family].entries()) {
        expect(stages[stage]!.cumulativeFlops / flops).to.be.closeTo(share, 0.06);
      }
    });
  }
});

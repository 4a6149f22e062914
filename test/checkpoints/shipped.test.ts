import { stat } from 'node:fs/promises';
import { expect } from 'chai';
import { knownCheckpoints } from '../../src/checkpoints/registry.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { networkFlops } from '../../src/networks/flops.js';
import { silent } from '../../src/progress.js';
import { obtainCheckpoint, openNetwork } from '../../src/run/source.js';

/** Shares of the FLOPs at the ends of stages 1 to 3 of the paper's networks. */
const resnet101 = [0.088, 0.221, 0.895];
const densenet201 = [0.25, 0.446, 0.844];
const profiles: Record<string, number[]> = {
  'dgate-resnet101-small-cifar10': resnet101,
  'dgate-densenet201-small-cifar10': densenet201,
  'dgate-resnet101-narrow-cifar10': resnet101,
  'dgate-densenet201-narrow-cifar10': densenet201,
};

describe('networks that ship with the project', () => {
  const shipped = knownCheckpoints.filter((known) => known.shipped !== undefined);

  it('are two sizes of the two of the tables, at most 10 MB together', async () => {
    expect(shipped.map(({ id }) => id)).to.have.members(Object.keys(profiles));
    expect(shipped.reduce((sum, { sizeBytes }) => sum + sizeBytes!, 0)).to.be.below(10e6);
  });

  for (const known of shipped) {
    it(`${known.id} is what the registry says, and names 5,000 held-out images`, async () => {
      const path = await obtainCheckpoint(known, 'unused', silent);
      expect((await stat(path)).size).to.equal(known.sizeBytes);
      const source = await openNetwork(networkByName(known.network), known.id, 'unused', silent);
      expect(source.checkpoint).to.include({ sha256: known.sha256, known });
      await source.lowered(); // all tensors fit
      const held = await source.heldOut();
      expect(held).to.have.length(5000);
      expect(held.at(-1)).to.be.below(50_000);
    });

    it(`${known.id} has the cost profile of the paper's network within 0.06`, () => {
      const { flops, stages } = networkFlops(networkByName(known.network));
      for (const [stage, share] of profiles[known.id]!.entries()) {
        expect(stages[stage]!.cumulativeFlops / flops).to.be.closeTo(share, 0.06);
      }
    });
  }
});

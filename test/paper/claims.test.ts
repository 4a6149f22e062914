import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { networkByName } from '../../src/networks/catalogue.js';
import { printedClaim, printedClaims, settle } from '../../src/paper/claims.js';
import { readPublished } from '../../src/paper/published.js';
import { rejection } from '../data/smallCifar10.js';

describe("the paper's claims", () => {
  it('have a source, a statement and a network', async () => {
    const claims = await printedClaims();
    expect(new Set(claims.map(({ id }) => id)).size).to.equal(claims.length);
    for (const { id, source, statement, printed, network, quantity, value } of claims) {
      expect(id).to.match(/^[a-z0-9-]+$/);
      for (const text of [source, statement, printed]) expect(text, id).not.to.equal('');
      expect(networkByName(network).name).to.equal(network);
      expect(quantity === '', id).to.equal(Number.isNaN(value));
    }
  });

  it('that restate a row of a table agree with it', async () => {
    for (const name of ['table1', 'table2']) {
      const rows = await readPublished(name);
      const restated = (await printedClaims()).filter(({ id }) => id.startsWith(`${name}-`));
      expect(restated).to.have.length(5);
      for (const { id, quantity, value, tableRow } of restated) {
        const row = rows[tableRow - 1]!;
        if (quantity === 'flops_reduction_fraction') expect(row.flopsReduction, id).to.be.closeTo(value, 0.003);
        else if (quantity === 'flops_factor') expect(rows.at(-1)!.flops / row.flops, id).to.be.closeTo(value, 0.005);
        // "A 2x speed-up" is printed of a row with 55.51 %, which is 2.25 x.
        else if (id !== 'table2-factor-speed') expect(row.speedUp, id).to.be.closeTo(value, 0.006);
      }
    }
  });

  it('are found in the text of the paper, if available', function () {
    let paper: string;
    try {
      paper = readFileSync(fileURLToPath(new URL('../../../shared/paper.txt', import.meta.url)), 'utf8').replace(
        /\s+/g,
        ' ',
      );
    } catch {
      this.skip();
    }
    for (const printed of ['43% speed-up', '44% FLOPs reduction', '39% FLOPs reduction', '1090 MFLOPs', '460 MFLOPs']) {
      expect(paper).to.contain(printed);
    }
    for (const printed of ['76.8% at 14.7 GFLOPs', '75.3% at 13.4 GFLOPs', '76.8% at 14.1 GFLOPs', '9% accuracy']) {
      expect(paper).to.contain(printed);
    }
  });

  it('name the network of the measurement', async () => {
    const printed = await printedClaim('figure4-gap');
    const outcome = { measured: 'm', verdict: 'holds', trace: { file: 'f.csv', row: 'r' } } as const;
    const own = settle(printed, { network: printed.network }, outcome);
    expect(own).to.not.have.property('why');
    const other = { ...outcome, why: 'because', variant: 'softmax', detail: 'against softmax' };
    const elsewhere = settle(printed, { network: 'resnet20-cifar10' }, other);
    expect(elsewhere.id).to.equal('figure4-gap-softmax');
    expect(elsewhere.statement).to.equal(`${printed.statement}: against softmax`);
    expect(elsewhere.why).to.equal("because; measured on resnet20-cifar10, not the paper's resnet101-cifar10");
    expect((await rejection(printedClaim('figure9'))).message).to.contain('no claim figure9');
  });
});

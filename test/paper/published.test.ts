import { expect } from 'chai';
import { readPublished } from '../../src/paper/published.js';
import { renderCsv } from '../../src/report/rows.js';
import { renderTable } from '../../src/report/table.js';
import { rejection } from '../data/smallCifar10.js';
import { original, row } from '../report/rows.js';

describe("the paper's tables", () => {
  // Table 1's second and last rows, as printed: 92.97 % 2.82 G 43.82 % 8.18 ms 43.31 %; 94.71 % 5.02 G 14.43 ms.
  it('are read as fractions, FLOPs and milliseconds', async () => {
    const rows = await readPublished('table1');
    expect(rows).to.have.length(5);
    expect(rows[1]).to.deep.equal({
      model: 'dg(1.0, 1.8,1.5)',
      accuracy: 0.9297,
      flops: 2.82e9,
      flopsReduction: 0.4382,
      speedMs: 8.18,
      speedUp: 0.4331,
    });
    const last = {
      model: 'Original',
      accuracy: 0.9471,
      flops: 5.02e9,
      flopsReduction: null,
      speedMs: 14.43,
      speedUp: null,
    };
    expect(rows[4]).to.deep.equal(last);
    expect((await readPublished('table2'))[0]).to.include({ accuracy: 0.9221, flops: 1.5e9, speedUp: 0.6145 });
  });

  it('are consistent: reductions and speed-ups follow from the printed FLOPs and times', async () => {
    for (const name of ['table1', 'table2']) {
      const rows = await readPublished(name);
      const whole = rows.at(-1)!;
      for (const { flops, flopsReduction, speedMs, speedUp } of rows.slice(0, -1)) {
        expect(1 - flops / whole.flops).to.be.closeTo(flopsReduction!, 0.002);
        expect(1 - speedMs! / whole.speedMs!).to.be.closeTo(speedUp!, 0.0006);
      }
    }
  });

  it('are listed in the error for an unknown name', async () => {
    expect((await rejection(readPublished('table9'))).message).to.equal(
      'published: "table9"; valid: imagenet, table1, table2',
    );
  });

  it('are printed below the rows and in the CSV', async () => {
    const [first, , , , whole] = await readPublished('table1');
    const rows = [row({ margin: 0.027, published: first! }), { ...original, published: whole! }];
    const lines = renderTable(rows).split('\n');
    const cells = (text: string) =>
      lines
        .find((line) => line.includes(text))!
        .split('│')
        .map((cell) => cell.trim())
        .slice(1, -1);
    expect(cells('paper: dg(1.0, 0.6,1.5)').slice(1, 8)).to.deep.equal([
      '2.7%',
      '91.99%',
      '2.72%',
      '2.22',
      '55.77%',
      '6.39',
      '55.71%',
    ]);
    expect(cells('paper: Original').slice(1, 8)).to.deep.equal(['', '94.71%', '', '5.02', '', '14.43', '']);
    const [head, record] = renderCsv(rows).split('\n');
    expect(head).to.match(/,published_model,published_accuracy_fraction,published_flops_per_image,/);
    expect(record).to.match(/,"dg\(1\.0, 0\.6,1\.5\)",0\.9199,2220000000,0\.5577,6\.39,0\.5571$/);
    expect(renderCsv([row()]).split('\n')[0]).not.to.contain('published');
  });
});

import { expect } from 'chai';
import { renderSvg } from '../../src/report/figures.js';
import type { Figure } from '../../src/report/findings.js';

/** Accuracy over FLOPs of two losses, as an analysis returns it. */
function figure(change: Partial<Figure> = {}): Figure {
  const values = ['hinge', 'cross-entropy <raw>'].flatMap((loss, i) =>
    [1, 2, 3, 4].map((flops) => ({ loss, flops, accuracy: 80 + flops - i })),
  );
  return {
    name: 'losses',
    title: 'Accuracy & FLOPs',
    caption: 'Two losses.',
    spec: {
      data: { values },
      mark: { type: 'line', clip: true },
      encoding: {
        x: { field: 'flops', type: 'quantitative', title: 'FLOPs per image (G)' },
        y: { field: 'accuracy', type: 'quantitative', title: 'Accuracy (%)', scale: { zero: false } },
        color: { field: 'loss', type: 'nominal', title: 'Loss' },
      },
    },
    ...change,
  };
}

describe('renderSvg', () => {
  it('draws axes with their units, the legend and the title, in colours that colour-blind readers tell apart', async () => {
    const warnings: string[] = [];
    const svg = await renderSvg(figure(), (message) => warnings.push(message));
    expect(svg).to.match(/^<svg role="img" [^>]*><title>Accuracy &amp; FLOPs<\/title>/);
    for (const text of ['FLOPs per image (G)', 'Accuracy (%)', 'Loss', 'cross-entropy &lt;raw&gt;']) {
      expect(svg).to.contain(`>${text}</text>`);
    }
    expect(svg).to.contain('stroke="#0072B2"').and.contain('stroke="#D55E00"').and.contain('fill="white"');
    expect(warnings).to.deep.equal([]);
  });

  it('gives the same bytes again', async () => {
    expect(await renderSvg(figure())).to.equal(await renderSvg(figure()));
  });

  it('names clips after the figure, so that a page can hold several', async () => {
    const svg = await renderSvg(figure());
    const ids = [...svg.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id!);
    expect(ids).not.to.be.empty;
    for (const id of ids) expect(id).to.match(/^losses-/);
    for (const [, used] of svg.matchAll(/url\(#([^)]+)\)/g)) expect(ids).to.include(used);
  });

  it('leaves room for all text, measured with a wide font', async () => {
    const long = 'An axis whose title is as long as anybody would make it (G)';
    const title =
      'A title that goes on for so long that it cannot stand on one line over a figure of this width, so it wraps';
    const { spec } = figure();
    const named = JSON.parse(JSON.stringify(spec).replace('Loss"', `${long}"`)) as Figure['spec'];
    const [width] = widthAndHeight(await renderSvg(figure({ spec: named, title })));
    // The plot's 520 pixels, and beside it a legend whose title alone is some 400 wide.
    expect(width)
      .to.be.above(520 + 350)
      .and.below(520 + 600);
    const [plain] = widthAndHeight(await renderSvg(figure({ title })));
    expect(plain).to.be.below(800);
    const [, drawn] = (await renderSvg(figure({ title }))).split('</title>');
    const [lines] = />A title that goes on[^<]*</.exec(drawn!)!;
    expect(lines.length).to.be.below(title.length);
  });

  it('warns of a property that Vega-Lite does not know', async () => {
    const warnings: string[] = [];
    const spec = { ...figure().spec, encoding: { x: { field: 'flops', type: 'quantitative' }, zz: { field: 'a' } } };
    await renderSvg(figure({ spec: spec as Figure['spec'] }), (message) => warnings.push(message));
    expect(warnings.join()).to.match(/^figure losses: .*zz/);
  });

  it('fetches nothing', async () => {
    const spec = { ...figure().spec, data: { url: 'http://127.0.0.1:9/data.json' } };
    const failed = await renderSvg(figure({ spec: spec as Figure['spec'] })).catch((error: Error) => error.message);
    expect(failed).to.equal(
      'figure losses refers to http://127.0.0.1:9/data.json; valid: data inside the specification',
    );
  });
});

function widthAndHeight(svg: string): number[] {
  const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg)!;
  return [Number(width), Number(height)];
}

import { expect } from 'chai';
import { renderPng } from '../../src/report/figures.js';
import type { Claim } from '../../src/report/findings.js';
import { type Page, renderPage } from '../../src/report/page.js';

const claim: Claim = {
  id: 'figure1-superordinate',
  source: 'Figure 1, section 2',
  statement: 'Errors stay within <animals> & "vehicles"',
  printed: '6 of 6',
  rule: 'above chance',
  measured: '76.4 % [74.8, 78.0]',
  verdict: 'does not hold',
  chance: 0.025,
  why: 'the interval ends below',
  trace: { file: 'errors.csv', row: 'all' },
};

function page(change: Partial<Page> = {}): Page {
  return {
    title: 'Figure 1 <script>alert(1)</script>',
    experiment: 'figure1',
    preset: 'laptop',
    command: "dgate run figure1 --set 'x=<y>'",
    date: '2026-11-22T21:00:00.000Z',
    claims: [claim],
    figures: [],
    sheets: [],
    tables: [],
    facts: [['Test', '10,000 images']],
    stages: [{ name: 'extract', now: 0.01, computed: 103.7 }],
    definition: '{ "name": "<b>" }',
    ...change,
  };
}

describe('renderPage', () => {
  it('escapes every text', () => {
    const html = renderPage(page());
    expect(html).not.to.match(/<script|<animals>|<y>|<b>/);
    expect(html).to.contain('Errors stay within &lt;animals&gt; &amp; &quot;vehicles&quot;');
    expect(html).to.contain('&#39;x=&lt;y&gt;&#39;');
  });

  it('shows each claim with its verdict in words, its cause, and the row it is traced to', () => {
    const html = renderPage(page());
    expect(html).to.match(/<span class="badge does-not-hold">✗ does not hold<\/span>/);
    for (const text of ['6 of 6', '76.4 % [74.8, 78.0]', 'the interval ends below', '<code>errors.csv</code><br>all']) {
      expect(html).to.contain(text);
    }
  });

  it('shows the first rows of a long table and names the file that has all', () => {
    const rows = Array.from({ length: 100 }, (_, i) => [`image ${i}`, i / 100]);
    const table = { name: 'plane', title: 'The plane', columns: ['point', 'accuracy_fraction'], rows };
    const html = renderPage(page({ tables: [table] }));
    expect(html).to.contain('<th class="number">accuracy (%)</th>').and.contain('<td class="number">59.00</td>');
    expect(html).not.to.contain('image 60');
    expect(html).to.contain('40 more rows, and all digits: <code>plane.csv</code>');
  });

  it('embeds figures and sheets, and forbids the browser to load anything', async () => {
    const sheet = { name: 'examples', title: 'Cats', caption: 'Six of them', rows: [] };
    const png = await renderPng({ ...sheet, rows: [{ label: 'none', images: [] }] });
    const spec = { mark: 'point' as const, data: { values: [] }, encoding: {} };
    const figure = { name: 'plane', title: 'Plane', caption: 'FLOPs over thresholds', spec };
    const svg = '<svg><title>Plane</title></svg>';
    const html = renderPage(page({ figures: [{ figure, svg }], sheets: [{ sheet, png }] }));
    expect(html).to.contain(svg).and.contain('FLOPs over thresholds');
    expect(html).to.match(
      /<img src="data:image\/png;base64,iVBOR[^"]+" width="\d+(\.5)?" height="\d+(\.5)?" alt="Cats">/,
    );
    expect(html).to.contain(
      `content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"`.replaceAll("'", '&#39;'),
    );
    expect(html).not.to.match(/(src|href)="(?!data:|#)/);
  });

  it('omits sections without content, and links to the others', () => {
    const html = renderPage(page({ claims: [] }));
    expect(html).not.to.match(/id="(claims|figures|images|tables|results)"/);
    const links = [...html.matchAll(/href="#(\w+)"/g)].map(([, id]) => id);
    expect(links).to.deep.equal(['method']);
  });
});

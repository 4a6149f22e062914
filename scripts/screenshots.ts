/**
 * Pictures of a run for the documentation, made with Chromium: its page at 1280 and 390 pixels, as printed, and its console table
 * in terminals of 80, 120 and 200 columns.
 *
 *     npx tsx scripts/screenshots.ts results/reference/table1/laptop-1a2b3c4d docs/images
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { markupText } from '../src/escape.js';

const [run, to] = process.argv.slice(2);
if (run === undefined || to === undefined) throw new Error('npx tsx scripts/screenshots.ts RUN FOLDER');
mkdirSync(to, { recursive: true });
const scratch = mkdtempSync(join(tmpdir(), 'dgate-screenshots-'));

async function shot(name: string, html: string, width: number, height: number): Promise<void> {
  const [page, picture] = [join(scratch, `${name}.html`), join(scratch, `${name}.png`)];
  // Chromium's window is at least 500 pixels wide: a narrower page stands in a frame.
  const framed = `<body style="margin:0"><iframe src="${name}-inner.html" style="border:0;width:${width}px;height:${height}px">`;
  writeFileSync(page, framed);
  writeFileSync(join(scratch, `${name}-inner.html`), html);
  const options = ['--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--timeout=15000'];
  const size = `--window-size=${Math.max(500, width)},${height}`;
  execFileSync('chromium', [...options, size, `--screenshot=${picture}`, `file://${page}`], { stdio: 'ignore' });
  await sharp(picture)
    .extract({ left: 0, top: 0, width, height })
    .png({ palette: true })
    .toFile(join(to!, `${name}.png`));
}

const page = readFileSync(join(run, 'report.html'), 'utf8');
await shot('page-1280', page, 1280, 2000);
await shot('page-390', page, 390, 2000);
// Chromium's screenshots do not know print: A4 as its printer shrinks it, until the widest table fits.
await shot('page-print', page.replace('@media print', '@media all'), 1040, 1471);

for (const columns of [80, 120, 200]) {
  const [, experiment = '', preset = ''] = /([^/]+)\/([a-z]+)-[0-9a-f]{8}\/?$/.exec(run) ?? [];
  const command = `stty cols ${columns} rows 60; node dist/bin/dgate.js run ${experiment} --preset ${preset} --results ${scratch}/results 2>/dev/null`;
  const text = execFileSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8' }).replaceAll('\r', '');
  const lines = text.split('\n').slice(0, 40);
  const height = lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / columns)), 0) * 17 + 16;
  const style =
    'margin:8px;font:13px/1.25 "DejaVu Sans Mono",monospace;color:#ddd;background:#111;white-space:pre-wrap;word-break:break-all';
  const html = `<meta charset="utf-8"><body style="margin:0;background:#111"><pre style='${style}'>${markupText(lines.join('\n'))}</pre>`;
  await shot(`console-${columns}`, html, Math.ceil(columns * 7.85) + 16, height);
}
rmSync(scratch, { recursive: true });

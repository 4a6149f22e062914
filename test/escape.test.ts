import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import sharp from 'sharp';
import { stageScript } from '../src/batch/slurm/jobs.js';
import { renderJunit } from '../src/cli/check-experiments.js';
import { renderComparison } from '../src/cli/comparison.js';
import { csvOf } from '../src/csv.js';
import { InputError } from '../src/errors.js';
import * as escapes from '../src/escape.js';
import { renderReadme } from '../src/report/claims.js';
import { renderSvg } from '../src/report/figures.js';
import { renderColumns } from '../src/report/findings.js';
import { html } from '../src/report/page.js';
import { hostileText, noCommands, oneLine } from './hostile.js';

describe('text of others', () => {
  it('is shown on a terminal as letters, on one line, and what is harmless as it is', () => {
    expect(escapes.visible('\u001b[31mred\n\u009b\u202e\u2066\u200f\ud800\u007f\t')).to.equal(
      '\\u001b[31mred\\n\\u009b\\u202e\\u2066\\u200f\\ud800\\u007f\\u0009',
    );
    expect(escapes.visible('日本 é 👩‍👧 \u00a0\\n')).to.equal('日本 é 👩‍👧 \u00a0\\n');
    fc.assert(
      fc.property(hostileText, (text) => {
        expect(escapes.visible(text)).to.match(oneLine);
        expect(escapes.visible(escapes.visible(text))).to.equal(escapes.visible(text));
        expect(escapes.visibleLines(text)).to.match(noCommands);
        expect(escapes.visibleLines(text).split('\n')).to.have.length(text.split('\n').length);
        for (const line of renderColumns(['a', 'b'], [[text, text]]).split('\n')) expect(line).to.match(oneLine);
        expect(renderColumns(['a', 'b'], [[text, text]]).split('\n')).to.have.length(5);
        expect(new InputError(text).problems[0]).to.match(oneLine);
        const json = escapes.jsonText({ [text]: text });
        expect(json).to.match(noCommands);
        expect(JSON.parse(json)).to.deep.equal({ [text]: text });
      }),
    );
  });

  it('is one word for bash', () => {
    const words = fc.sample(
      hostileText.filter((text) => !text.includes('\0') && !/\p{Cs}/u.test(text)),
      400,
    );
    for (const word of words) expect(escapes.shellWord(word)).to.match(oneLine);
    const script = `printf '%s\\0' ${words.map(escapes.shellWord).join(' ')}`;
    const said = execFileSync('bash', ['-c', script], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } });
    expect(said.split('\0').slice(0, -1)).to.deep.equal(words);
  });

  it('is refused in the script of a batch job, or stays in its line', () => {
    const option = (name: string, value: string) =>
      stageScript({
        stage: 'run',
        tasks: 1,
        folder: name === 'folder' ? value : '/f',
        workingFolder: name === 'workingFolder' ? value : '/w',
        program: ['node', name === 'program' ? value : 'dgate'],
        jobName: name === 'jobName' ? value : 'job',
        resources: {
          sbatch: name === 'sbatch' ? [value] : [],
          ...(/^(partition|account|time|gpus|mem)$/.test(name) && { [name]: value }),
        },
      }).split('\n');
    const plain = option('none', 'x').length;
    const names = ['workingFolder', 'folder', 'jobName', 'partition', 'account', 'time', 'gpus', 'mem', 'sbatch'];
    for (const name of names) {
      expect(() => option(name, '-x\ntouch pwned'), name).to.throw(InputError, /^--\S+ .*\\ntouch pwned.*; valid: /);
    }
    fc.assert(
      fc.property(fc.constantFrom(...names, 'program'), hostileText, (name, text) => {
        let lines: string[];
        try {
          lines = option(name, text);
        } catch (error) {
          expect(error).to.be.instanceOf(InputError);
          return;
        }
        expect(lines).to.have.length(
          plain + Number(name === 'sbatch') + Number(/^(partition|account|time|gpus|mem)$/.test(name)),
        );
        for (const line of lines.slice(1, -2)) expect(line).to.match(/^#SBATCH --?\S/);
        for (const line of lines) expect(line).to.match(oneLine);
      }),
    );
  });

  it('cannot be a formula in a spreadsheet, and numbers stay numbers', () => {
    expect(
      csvOf([['=1+1', '-0.24', -0.24, '@x', '\t=1', '+a', '-Infinity', '=', ' =1', '1e5', '-', "'x", null]]),
    ).to.equal(`'=1+1,-0.24,-0.24,'@x,\\u0009=1,'+a,-Infinity,'=,' =1,1e5,'-,'x,\n`);
    fc.assert(
      fc.property(fc.array(fc.tuple(hostileText, fc.double({ noNaN: true })), { minLength: 1 }), (records) => {
        const cells = parse(csvOf(records)) as string[][];
        expect(cells).to.have.length(records.length);
        cells.forEach(([text, number], i) => {
          if (Number.isNaN(Number(text)) || /^0x/i.test(text!)) expect(text).not.to.match(/^[\s=+\-@]*[=+\-@]/);
          expect(text).to.match(oneLine);
          expect(Number(number) === records[i]![1]).to.equal(true);
        });
      }),
    );
  });

  it('is text in HTML and XML', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        for (const shown of [html`<p title="${text}">${text}</p>`.html, `<p>${escapes.markupText(text)}</p>`]) {
          expect(shown).to.match(noCommands);
          expect(shown.replace(/^<p[^<>]*>|<\/p>$/g, '')).not.to.match(/[<>"']|&(?!(?:amp|lt|gt|quot|#39);)/);
        }
      }),
    );
  });

  it('leaves figures and JUnit reports well-formed, for a parser of XML', async () => {
    await fc.assert(
      fc.asyncProperty(hostileText, async (text) => {
        const spec = {
          data: { values: [{ x: text, y: 1 }] },
          mark: 'bar',
          encoding: {
            x: { field: 'x', type: 'nominal', title: text.slice(0, 20) },
            y: { field: 'y', type: 'quantitative' },
          },
        } as const;
        const svg = await renderSvg({ name: 'f', title: `t ${text}`, caption: '', spec });
        const moved = [{ item: text, quantity: text, from: text, tolerance: 0, isRegression: true }];
        const junit = renderJunit([{ experiment: text, path: '', isNew: false, measures: [], moved, seconds: 1 }]);
        // librsvg parses strictly; the report is given to it as an element that it does not draw.
        await sharp(Buffer.from(svg)).metadata();
        const report = junit.replace(/^<\?xml.*\n/, '');
        await sharp(
          Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1">${report}</svg>`),
        ).metadata();
        expect(svg + junit).to.match(noCommands);
      }),
      { numRuns: 25 },
    );
  });

  it('begins nothing in Markdown and LaTeX', () => {
    const unescaped = (text: string) => text.replaceAll(/\\[!-/:-@[-`{-~]/g, '');
    fc.assert(
      fc.property(hostileText, (text) => {
        expect(escapes.markdownText(text)).to.match(oneLine);
        expect(unescaped(escapes.markdownText(text))).not.to.match(/[|<>*`[\]~&#]|\b_|_\b/);
        const code = escapes.markdownCode(text);
        const [, fence = '', inside = ''] = /^(`+)(.*?)\1$/.exec(code) ?? [];
        expect(code).to.equal(`${fence}${inside}${fence}`);
        expect(inside).not.to.match(new RegExp(`(?<!\`)${fence}(?!\`)`));
        expect(code).not.to.match(/(?<!\\)\|/);
        expect(escapes.markdownAddress(text)).to.match(/^[\w./%:;,@=+$-]*$/);
        expect(escapes.latexText(text)).to.match(oneLine);
        const claim = {
          id: 'c',
          source: text,
          statement: text,
          printed: text,
          rule: text,
          measured: text,
          verdict: 'holds',
          chance: 0,
          trace: { file: text, row: text },
        } as const;
        const about = { experiment: text, command: text, folder: text, seconds: 1 };
        const origin = { command: text, preset: text, date: text, machine: text, versions: text };
        const lines = renderReadme(
          [{ state: 'done', ...about, claims: [claim] }],
          [{ ...claim, experiment: text, folder: text, isPaper: true }],
          origin,
        ).split('\n');
        for (const line of lines.slice(-2, -1)) expect(line.match(/(?<!\\)\|/g)).to.have.length(9);
        const compared = {
          title: text,
          notes: [text],
          tables: [{ title: text, head: ['a', 'b'], rows: [[text, text]] }],
        };
        for (const format of ['table', 'markdown', 'latex'] as const) {
          expect(renderComparison(compared, format)).to.match(noCommands);
          expect(renderComparison(compared, format).split('\n')).to.have.length(
            renderComparison(
              { ...compared, title: 'x', notes: ['x'], tables: [{ title: 'x', head: ['a', 'b'], rows: [['x', 'x']] }] },
              format,
            ).split('\n').length,
          );
        }
      }),
    );
  });
});

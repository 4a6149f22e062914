// Obvious mistakes, one at a time, and whether the tests see them: `npx tsx scripts/mutants.ts [--sample N] [--seed N] [--at TEXT]`.
// TEXT is a part of `src/room/file.ts:LINE`. The sources that are changed are a copy; the tests of a mutant are those of its
// room, which import its file first. Printed: every mutant that all of them pass. Exit status 1 if there is one.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Random } from '../src/random.js';

const rooms = ['thresholds', 'gates', 'timing', 'statistics', 'store'];

/** What is written in the place of what. Spaces stand round operators, as the formatter leaves them. */
const changes: readonly (readonly [RegExp, (found: string) => string])[] = [
  [/ <= | >= /g, (found) => found.replace('=', '')],
  [/ < | > /g, (found) => `${found.trimEnd()}= `],
  [/ === | !== /g, (found) => (found === ' === ' ? ' !== ' : ' === ')],
  [/ \+ /g, () => ' - '],
  [/ - /g, () => ' + '],
  [/ \* /g, () => ' / '],
  [/ && | \|\| /g, (found) => (found === ' && ' ? ' || ' : ' && ')],
  [/(?<![\w.#$'"`])\d[\d_]*(?:\.\d+)?(?:e-?\d+)?(?![\w.'"`])/g, (found) => nearby(Number(found.replaceAll('_', '')))],
  [/^\s*if \(.*\) (?:return|continue|break|throw)\b.*;$/g, () => ''],
];

const nearby = (number: number): string => String(Number.isInteger(number) ? number + 1 : number * 4);

export interface Mutant {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly before: string;
  readonly after: string;
}

/** All of them in a source. */
export function mutantsOf(file: string, source: string): Mutant[] {
  return source.split('\n').flatMap((before, i) => {
    const code = /^\s*(?:\/?\*|\/\/|import |export (?:type|interface|\*|\{)|type )/.test(before)
      ? ''
      : before.replace(/ \/\/.*$/, '');
    return changes.flatMap(([pattern, change]) =>
      [...code.matchAll(pattern)]
        .filter((match) => !isInText(code, match.index))
        .map(({ 0: found, index }): Mutant => {
          const after = before.slice(0, index) + change(found) + before.slice(index + found.length);
          return { file, line: i + 1, before: before.trim(), after: after.trim() };
        }),
    );
  });
}

/** Whether a quote is open at this place of a line. */
function isInText(line: string, at: number): boolean {
  const before = line.slice(0, at);
  return ["'", '"', '`'].some((quote) => (before.split(quote).length - 1) % 2 === 1);
}

/** Tests of a file's room; those that import it come first. */
function testsOf(root: string, file: string): string[] {
  const folder = join('test', dirname(file).split('/')[1]!);
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.test.ts'),
  );
  const paths = names.map((name) => join(folder, name));
  const imports = (path: string): boolean =>
    readFileSync(join(root, path), 'utf8').includes(`/${basename(file, '.ts')}.js'`);
  return [...paths.filter(imports), ...paths.filter((path) => !imports(path))];
}

/** Whether all tests pass. What never ends is ended after two minutes of processor time, what waits for ever after ten. */
function passes(root: string, tests: readonly string[]): boolean {
  const mocha = ['node_modules/.bin/mocha', '--no-config', '--node-option', 'import=tsx', '--bail', '--timeout', '0'];
  const { status } = spawnSync('sh', ['-c', 'ulimit -t 120; exec "$@"', 'sh', ...mocha, ...tests], {
    cwd: root,
    timeout: 600_000,
    killSignal: 'SIGKILL',
    stdio: 'ignore',
  });
  return status === 0;
}

/** A copy of the project as it lies here. */
function copy(project: string): string {
  const root = mkdtempSync(join(tmpdir(), 'dgate-mutants-'));
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], {
    cwd: project,
    encoding: 'utf8',
  });
  for (const file of files.split('\0').filter((name) => name !== '' && existsSync(join(project, name))))
    cpSync(join(project, file), join(root, file));
  symlinkSync(join(project, 'node_modules'), join(root, 'node_modules'));
  return root;
}

function main(): number {
  const { values } = parseArgs({
    options: { sample: { type: 'string' }, seed: { type: 'string' }, at: { type: 'string' } },
  });
  const root = copy(fileURLToPath(new URL('..', import.meta.url)));
  try {
    const files = rooms.flatMap((room) =>
      readdirSync(join(root, 'src', room), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .map((name) => join('src', room, name)),
    );
    const all = files.flatMap((file) => mutantsOf(file, readFileSync(join(root, file), 'utf8')));
    const asked = all.filter(({ file, line }) => `${file}:${line}:`.includes(values.at ?? ''));
    const random = new Random(Number(values.seed ?? 0), 'mutants');
    const order = asked.map((mutant) => ({ mutant, at: random.uniform() })).sort((a, b) => a.at - b.at);
    const chosen = order.slice(0, Number(values.sample ?? asked.length)).map(({ mutant }) => mutant);
    process.stdout.write(`${chosen.length} of ${all.length} mutants\n`);
    const used = new Set(chosen.map(({ file }) => dirname(file).split('/')[1]!));
    const broken = [...used].filter((room) => !passes(root, testsOf(root, `src/${room}/none.ts`)));
    if (broken.length > 0) throw new Error(`tests of ${broken.join(', ')} fail without a change`);
    let survived = 0;
    for (const { file, line, before, after } of chosen) {
      const source = readFileSync(join(root, file), 'utf8');
      const lines = source.split('\n');
      lines[line - 1] = after;
      writeFileSync(join(root, file), lines.join('\n'));
      const lives = passes(root, testsOf(root, file));
      writeFileSync(join(root, file), source);
      if (lives) survived++;
      process.stdout.write(lives ? `${file}:${line}: passes every test\n  - ${before}\n  + ${after}\n` : '.');
    }
    process.stdout.write(`\n${survived} of ${chosen.length} are seen by no test\n`);
    return survived > 0 ? 1 : 0;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main();

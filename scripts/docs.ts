import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { main } from '../src/cli/main.js';
import { benchmarksPage } from './docs-bench.js';
import { experimentPage } from './docs-experiment.js';
import { read, root, withNumbers } from './docs-numbers.js';
import { picture } from './docs-picture.js';
import { pageText, schemaText } from './json-schema.js';

// `npm run docs` writes docs/experiment.md from the schema, docs/commands.md from the commands, docs/benchmarks.md from the
// benchmarks' files, docs/json.md and schema.json from what --json prints, and the numbers of README and docs from the files
// that they name (scripts/docs-numbers.ts).
// `npm run docs -- --check` fails where a page is not as this writes it.

/** What a command prints. */
async function printed(args: readonly string[]): Promise<string> {
  const { log } = console;
  const lines: string[] = [];
  console.log = (...texts: unknown[]) => void lines.push(texts.join(' '));
  try {
    await main(args);
  } finally {
    console.log = log;
    process.removeAllListeners();
  }
  return lines.join('\n');
}

/** The names of the commands that a help text lists. */
const namesIn = (help: string): string[] => {
  const listed = /^Commands:\n(.*?)\n\n/ms.exec(help)?.[1] ?? '';
  return [...listed.matchAll(/^ {2}dgate ((?:[a-z]+ ?)+)/gm)].map(([, name]) => name!.trim());
};
const shared = /^ +(?:-h, )?--(?:help|version|cache|wide|results) .*\n(?: {8,}.*\n)*/gm;

/** docs/commands.md. */
export async function commandsPage(): Promise<string> {
  const top = await printed(['--help']);
  const parts: string[] = [];
  for (const name of namesIn(top)) {
    const help = await printed([...name.split(' '), '--help']);
    const below = namesIn(help);
    const helps = below.length === 0 ? [help] : await inTurn(below, (one) => printed([...one.split(' '), '--help']));
    const texts = helps.map(
      (text) =>
        `\`\`\`text\n${text
          .replaceAll(shared, '')
          .replaceAll(/Options:\n\n/g, '')
          .trimEnd()}\n\`\`\``,
    );
    parts.push(`## dgate ${name}\n\n${texts.join('\n\n')}\n`);
  }
  const common = [...top.matchAll(shared)]
    .map(([text]) => text)
    .join('')
    .trimEnd();
  return `# Commands

Written by \`npm run docs\` from the commands: what \`dgate COMMAND --help\` prints. Results go to stdout, progress to stderr. Exit
status: 0 done; 1 failed, or a regression was found; 2 bad usage or bad input. All commands have these options:

\`\`\`text
${common}
\`\`\`

${parts.join('\n')}`;
}

async function inTurn<T, U>(items: readonly T[], map: (item: T) => Promise<U>): Promise<U[]> {
  const results: U[] = [];
  for (const item of items) results.push(await map(item));
  return results;
}

/** All pages that are written, or have numbers, with their text as it should be. */
export async function pages(): Promise<[path: string, text: string][]> {
  const listed = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => `docs/${path.replaceAll('\\', '/')}`);
  listed.push('README.md', 'CONTRIBUTING.md');
  const whole: [string, string][] = [
    ['docs/experiment.md', experimentPage()],
    ['docs/benchmarks.md', await benchmarksPage()],
    ['docs/json.md', pageText()],
    ['schema.json', schemaText()],
    ['docs/images/systems.svg', await picture()],
    ['docs/commands.md', await commandsPage()],
  ];
  const names = whole.map(([name]) => name);
  const others = listed.filter((path) => !names.includes(path));
  return [...whole, ...others.map((path): [string, string] => [path, withNumbers(path, read(path))])];
}

if (process.argv[1]?.endsWith('docs.ts')) {
  process.stdout.columns = 80;
  const stale: string[] = [];
  for (const [path, text] of await pages()) {
    const now = existsSync(join(root, path)) ? read(path) : undefined;
    if (now === text) continue;
    stale.push(path);
    if (!process.argv.includes('--check')) writeFileSync(join(root, path), text);
  }
  const check = process.argv.includes('--check');
  if (stale.length > 0) console.log(`${check ? 'not as npm run docs writes them' : 'written'}: ${stale.join(', ')}`);
  process.exit(check && stale.length > 0 ? 1 : 0);
}

// What the structure of the sources looks like, as one table: `npx tsx scripts/house.ts [FOLDER]`. FOLDER is another checkout,
// to compare with. `--write` puts today's counts into results/structure.csv, from which `npm run docs` takes them. test/house.test.ts holds the order of imports and what must be 0.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Rooms from top to bottom: a file imports from its own room and from those below. Files of `src` itself are `base`. */
export const rooms = [
  'bin',
  'cli',
  'index',
  'batch',
  'check',
  'gated',
  'paper',
  'run',
  'experiment',
  'report',
  'engines',
  'training',
  'onnx',
  'gates',
  'thresholds',
  'timing',
  'statistics',
  'checkpoints',
  'networks',
  'data',
  'pickle',
  'store',
  'base',
] as const;

export interface Import {
  readonly from: string;
  readonly to: string;
}

interface Source {
  readonly path: string;
  readonly text: string;
}

/** Sources of a checkout: `bin/*.ts` and `src/**\/*.ts`, paths with `/` from its root. */
export function sourcesOf(root: string): Source[] {
  return ['bin', 'src'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
      .sort()
      .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') })),
  );
}

/** Imports between sources, types and dynamic ones included, each pair once. */
export function importsOf(sources: readonly Source[]): Import[] {
  const pattern = /(?:\bfrom |\bimport\(|\bimport )'(\.{1,2}\/[^']+)\.js'/g;
  return sources.flatMap(({ path, text }) => {
    const found = [...text.matchAll(pattern)].map(([, target]) => `${normalize(join(dirname(path), target!))}.ts`);
    return [...new Set(found)].map((to) => ({ from: path, to: to.replaceAll('\\', '/') }));
  });
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

/** The room of a source: `src/gated/time/row.ts` is in `gated`. */
export function roomOf(path: string): string {
  const [top, room, rest] = path.split('/');
  if (top === 'bin') return 'bin';
  if (rest !== undefined) return room!;
  return path === 'src/index.ts' ? 'index' : 'base';
}

/** Imports that point up the order, or from or to a room that it does not name. */
export function againstTheOrder(imports: readonly Import[]): Import[] {
  const place = (path: string): number => (rooms as readonly string[]).indexOf(roomOf(path));
  return imports.filter(({ from, to }) => place(from) < 0 || place(to) < 0 || place(from) > place(to));
}

/** Groups of files that import each other in a circle, types and dynamic imports included. */
export function circles(imports: readonly Import[]): string[][] {
  const next = groupBy(imports, ({ from }) => from);
  const [index, low, stack] = [new Map<string, number>(), new Map<string, number>(), [] as string[]];
  const found: string[][] = [];
  const visit = (file: string): void => {
    index.set(file, index.size);
    low.set(file, index.get(file)!);
    stack.push(file);
    for (const { to } of next.get(file) ?? []) {
      if (!index.has(to)) visit(to);
      if (stack.includes(to)) low.set(file, Math.min(low.get(file)!, low.get(to)!));
    }
    if (low.get(file) !== index.get(file)) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1) found.push(circle);
  };
  for (const file of new Set(imports.flatMap(({ from, to }) => [from, to]))) if (!index.has(file)) visit(file);
  return found;
}

/** Exported names that several files declare, with those files. */
export function sharedNames(sources: readonly Source[]): Map<string, string[]> {
  const pattern = /^export (?:async )?(?:abstract )?(?:function\*?|class|interface|type|const|let|enum) (\w+)/gm;
  // The library gives its functions the names of what they wrap.
  const inside = sources.filter(({ path }) => path !== 'src/index.ts');
  const declared = inside.flatMap(({ path, text }) =>
    [...text.matchAll(pattern)].map(([, name]) => [name!, path] as const),
  );
  const byName = groupBy(declared, ([name]) => name);
  return new Map(
    [...byName].flatMap(([name, all]) => {
      const files = [...new Set(all.map(([, path]) => path))];
      return files.length > 1 ? [[name, files] as const] : [];
    }),
  );
}

/** Occurrences of a pattern over all sources, comments left out. */
export function occurrences(sources: readonly Source[], pattern: RegExp): number {
  const code = (text: string): string => text.replaceAll(/^\s*(?:\*|\/\/|\/\*).*$/gm, '');
  return sources.reduce((sum, { text }) => sum + [...code(text).matchAll(pattern)].length, 0);
}

/** Functions of more than 60 lines, as the linter counts them. */
function longFunctions(root: string): number {
  const { stdout } = spawnSync(
    process.execPath,
    [
      fileURLToPath(new URL('../node_modules/@biomejs/biome/bin/biome', import.meta.url)),
      'lint',
      '--only=complexity/noExcessiveLinesPerFunction',
      '--reporter=json',
      '--max-diagnostics=none',
      'bin',
      'src',
    ],
    { cwd: root, encoding: 'utf8' },
  );
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { readonly message: unknown }[] };
  return diagnostics.filter(({ message }) => Number(/\((\d+)\)/.exec(JSON.stringify(message))?.[1]) > 60).length;
}

function table(root: string): [string, number][] {
  const sources = sourcesOf(root);
  const imports = importsOf(sources);
  const importers = groupBy(imports, ({ to }) => to);
  return [
    ['files', sources.length],
    ['lines', sources.reduce((sum, { text }) => sum + text.split('\n').length - 1, 0)],
    ['files over 300 lines', sources.filter(({ text }) => text.split('\n').length > 301).length],
    ['files with one importer', [...importers.values()].filter((all) => all.length === 1).length],
    ['exported names with several declarations', sharedNames(sources).size],
    ['files in circles', circles(imports).flat().length],
    ['imports against the order', againstTheOrder(imports).length],
    ['functions over 60 lines', longFunctions(root)],
    ['as never', occurrences(sources, /\bas never\b/g)],
    ['any as a type', occurrences(sources, /(?::|<|\bas) any\b/g)],
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const isWritten = process.argv[2] === '--write';
  const here = fileURLToPath(new URL('..', import.meta.url));
  const root = isWritten ? here : (process.argv[2] ?? here);
  const counts = table(root);
  for (const [name, count] of counts) console.log(`${String(count).padStart(6)}  ${name}`);
  if (isWritten) {
    const path = join(here, 'results/structure.csv');
    const before = new Map(
      readFileSync(path, 'utf8')
        .split('\n')
        .map((line) => line.split(',') as [string, string]),
    );
    const date = new Date().toISOString().slice(0, 10);
    const lines = counts.map(([name, count]) => `${name},${before.get(name) ?? ''},${count},${date}`);
    writeFileSync(path, `${['measure,before,now,date', ...lines].join('\n')}\n`);
  }
  const imports = importsOf(sourcesOf(root));
  for (const { from, to } of againstTheOrder(imports)) console.log(`against the order: ${from} -> ${to}`);
  for (const circle of circles(imports)) console.log(`circle: ${circle.join(' ')}`);
  for (const [name, files] of sharedNames(sourcesOf(root))) console.log(`${name}: ${files.join(' ')}`);
}

/**
 * Whether files of 8 bits answer alike on two processors: class and exit of each image, of every 8-bit system that
 * `npm run bench -- rivals` has prepared in two caches, the second on another processor (or with `avx2.c`).
 *
 * Usage: npx tsx bench/eight-bits.ts NETWORK CACHE OTHER-CACHE      writes results/eight-bits.csv
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { csvOf } from '../src/csv.js';
import type { Answered } from './rivals/measure.js';
import type { Subject } from './rivals/subjects.js';

const [network = 'resnet56-cifar10', ...caches] = process.argv.slice(2);
const date = new Date().toISOString().slice(0, 10);
const [one, other] = caches.map((cache) => {
  const folder = join(cache, 'rivals', `${network}-1`);
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const { systems } = JSON.parse(read('subject.json')) as Subject;
  const answers = JSON.parse(read('answers.json')) as Record<string, Answered>;
  const hashOf = (file: string): string =>
    createHash('sha256')
      .update(readFileSync(join(folder, file.replace(/\.xml$/, '.bin'))))
      .digest('hex');
  return { systems, answers, hashOf };
});
const same = (a: readonly number[], b: readonly number[]): number => a.filter((value, i) => value === b[i]).length;
const rows = one!.systems.flatMap(({ name, file }) => {
  const [a, b] = [one!.answers[name], other!.answers[name]];
  if (!name.startsWith('8 bits') || file === undefined || a === undefined || b === undefined) return [];
  const isSameFile = one!.hashOf(file) === other!.hashOf(file);
  const exits = a.exits.length === 0 ? '' : same(a.exits, b.exits);
  return [[network, name, isSameFile ? 'yes' : 'no', a.classes.length, same(a.classes, b.classes), exits, date]];
});
const head = ['network', 'system', 'same_file', 'images', 'images_same_class', 'images_same_exit', 'date'];
writeFileSync(new URL('../results/eight-bits.csv', import.meta.url), csvOf([head, ...rows]));

import { execFileSync } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { filesBelow, writeTinyCheckpoint } from '../run/workplace.js';
import { attempt, type Ended, startSource } from './faults.js';
import type { Told } from './work.js';

const small = { train: 300, test: 100 };

describe('a disk that refuses', function () {
  this.timeout(900_000);
  let folder: string;
  let table: string;
  const mounts: string[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-disk-'));
    await made('sound');
    const sound = await attempt(told('sound'));
    expect(sound.status, sound.stderr).to.equal(0);
    table = sound.stdout;
  });
  after(async () => {
    for (const mount of mounts) execFileSync('umount', [mount]);
    await rm(folder, { recursive: true, force: true });
  });

  const told = (place: string, results?: string): Told => {
    return { folder: join(folder, place), ...small, ...(results !== undefined && { results }) };
  };

  async function made(place: string): Promise<string> {
    await mkdir(join(folder, place), { recursive: true });
    await writeTinyCheckpoint(join(folder, place, 'tiny.safetensors'));
    return join(folder, place);
  }

  /** A file system of its own in a folder, or undefined where this process may not mount one. */
  function mount(place: string, options: string): string | undefined {
    const at = join(folder, place);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', at], { stdio: 'pipe' });
    } catch {
      return undefined;
    }
    mounts.push(at);
    return at;
  }

  function expectOneLine({ status, stdout, stderr }: Ended, line: RegExp): void {
    expect(status, stderr).to.equal(2);
    expect(stdout).to.equal('');
    const said = stderr.split('\n').filter((text) => text.startsWith('dgate: '));
    expect(said, stderr).to.have.length(1);
    expect(said[0]).to.match(line);
    expect(stderr).not.to.contain('    at ');
  }

  /** The next run goes on and ends in the table; no unfinished file is left. */
  async function expectGoesOn(where: string | Told): Promise<void> {
    const all = typeof where === 'string' ? told(where) : where;
    const again = await attempt(all);
    expect(again.status, again.stderr).to.equal(0);
    expect(again.stdout).to.equal(table);
    expect((await filesBelow(all.folder)).filter((name) => name.endsWith('.tmp'))).to.deep.equal([]);
  }

  it('full at each stage: one line that says what and where; with space again, the run goes on', async function () {
    await made('full');
    const cache = join(folder, 'full', 'results');
    await mkdir(cache);
    if (mount('full/results', 'size=80m') === undefined) return this.skip();
    // Space for so much of the cache and no more: for nothing, for a part of the features, ... for all but the scores.
    const sizes = await filesBelow(join(folder, 'sound', 'results'));
    const bytes = async (pattern: RegExp): Promise<number> => {
      const files = sizes.filter((name) => pattern.test(name));
      const contents = await Promise.all(files.map((name) => readFile(join(folder, 'sound', 'results', name))));
      return contents.reduce((sum, content) => sum + Math.ceil(content.length / 4096) * 4096, 0);
    };
    const features = await bytes(/^features/);
    const gates = await bytes(/^gates/);
    const rooms = [0, 8192, features / 2, features, features + gates / 2, features + gates];
    const met = new Set<string>();
    for (const room of rooms) {
      const filler = join(cache, 'filler');
      await rm(filler, { force: true });
      // What was computed stays: it counts as used room.
      const { bavail, bsize, blocks } = await statfs(cache);
      const used = (blocks - bavail) * bsize;
      const left = Math.max(0, room - used);
      await writeFile(filler, Buffer.alloc(Math.max(0, bavail * bsize - Math.ceil(left / 4096) * 4096)));
      const ended = await attempt(told('full'));
      if (ended.status === 0) continue;
      expectOneLine(ended, /^dgate: .*(the disk is full: make space|need [\d.]+ GB in .*, [\d.]+ GB are free)/);
      met.add(/need/.test(ended.stderr) ? 'asked before' : (/results\/(\w+)\//.exec(ended.stderr)?.[1] ?? ''));
    }
    expect([...met]).to.include('asked before');
    await rm(join(cache, 'filler'), { force: true });
    await expectGoesOn('full');
  });

  it('full while gates, scores or tables are written', async function () {
    for (const stage of ['gates', 'scores', 'tables']) {
      const place = `full-${stage}`;
      await cp(join(folder, 'sound'), join(folder, place), { recursive: true });
      const at = join(folder, place, stage === 'tables' ? 'tables' : `results/${stage}`);
      await rm(at, { recursive: true });
      await mkdir(at);
      if (stage === 'gates') await rm(join(folder, place, 'results/scores'), { recursive: true });
      if (mount(at.slice(folder.length + 1), 'size=16k') === undefined) return this.skip();
      await writeFile(join(at, 'filler'), Buffer.alloc(12288));
      const ended = await attempt(told(place));
      expectOneLine(ended, new RegExp(`^dgate: ${at}.*: the disk is full: make space`));
      execFileSync('mount', ['-o', 'remount,size=8m', at]);
      await expectGoesOn(place);
    }
  });

  it('full while a checkpoint or data are fetched', async function () {
    const source = await startSource();
    try {
      for (const place of ['full-models', 'full-data']) {
        const all: Told = { ...told(place), ...source.told };
        const at = place === 'full-models' ? place : `${place}/data-small`;
        await mkdir(join(folder, at), { recursive: true });
        const mounted = mount(at, 'size=48k');
        if (mounted === undefined) return this.skip();
        expectOneLine(await attempt(all), new RegExp(`^dgate: ${mounted}.*: the disk is full: make space`));
        execFileSync('mount', ['-o', 'remount,size=80m', mounted]);
        await expectGoesOn(all);
      }
    } finally {
      await source.close();
    }
  });

  it('read-only: a complete cache serves a run; an incomplete one is refused in one line', async function () {
    await cp(join(folder, 'sound'), join(folder, 'readonly'), { recursive: true });
    const cache = join(folder, 'readonly', 'results');
    try {
      execFileSync('mount', ['--bind', cache, cache], { stdio: 'pipe' });
    } catch {
      return this.skip();
    }
    mounts.push(cache);
    execFileSync('mount', ['-o', 'remount,ro,bind', cache]);
    await expectGoesOn('readonly');
    const other = { ...told('readonly'), overrides: [{ path: 'gates.epochs', value: 1 }] };
    expectOneLine(await attempt(other), /^dgate: .*gates.*: the file system is read-only: choose another/);
    // A damaged file cannot be removed there: that is said too.
    execFileSync('mount', ['-o', 'remount,rw,bind', cache]);
    const [name = ''] = (await filesBelow(cache)).filter((file) => /scores.*\.safetensors$/.test(file));
    const data = await readFile(join(cache, name));
    data[100]! ^= 4;
    await writeFile(join(cache, name), data);
    execFileSync('mount', ['-o', 'remount,ro,bind', cache]);
    expectOneLine(await attempt(told('readonly')), /^dgate: .*: the file system is read-only/);
    execFileSync('mount', ['-o', 'remount,rw,bind', cache]);
    await expectGoesOn('readonly');
  });

  it('a results folder that cannot be made: below a file, or not permitted', async () => {
    await writeFile(join(folder, 'plain'), '');
    const below = await attempt(told('sound', join(folder, 'plain', 'tables')));
    expectOneLine(below, /plain\/tables\/.*: a part of this path is a file, not a folder: choose another folder/);
    if (process.getuid?.() === 0) return; // root may write everywhere
    await mkdir(join(folder, 'locked'));
    await chmod(join(folder, 'locked'), 0o500);
    const refused = await attempt(told('sound', join(folder, 'locked', 'tables')));
    expectOneLine(refused, /locked\/tables.*: permission denied: choose another folder/);
  });
});

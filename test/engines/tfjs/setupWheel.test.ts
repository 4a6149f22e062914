import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { entryText, withWheel } from '../../../src/engines/setup.js';
import { extractWheel, isWantedHeader, readWheel } from '../../../src/engines/tfjs/setup/tensorflow.js';
import {
  type Entry,
  problemOf,
  temporaryFolder,
  tensorflowFiles,
  writeWheel,
  type ZipOptions,
  zipOf,
} from './wheels.js';

const CPU_WHEEL = 'tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl';

describe("tfjs-node set-up: a wheel's zip file", () => {
  const folder = temporaryFolder();
  const text = 'some text '.repeat(500);
  const entries: readonly Entry[] = [
    { name: 'stored.txt', data: Buffer.from(text), method: 'stored' },
    { name: 'folder/ä deflated.txt', data: Buffer.from(text) },
    { name: 'empty', data: Buffer.alloc(0), method: 'stored' },
  ];

  async function read(bytes: Buffer, name?: string): Promise<readonly string[]> {
    const path = join(folder(), 'made.whl');
    writeFileSync(path, bytes);
    return withWheel(path, (wheel) => {
      const names = name === undefined ? [...wheel.entries.keys()] : [name];
      return Promise.all(names.map((entry) => entryText(wheel, entry)));
    });
  }

  const forms: Readonly<Record<string, ZipOptions>> = {
    plain: {},
    'with 64-bit sizes': { zip64: true },
    'with a comment behind it': { comment: 'made up' },
  };
  for (const [form, options] of Object.entries(forms)) {
    it(`is read ${form}`, async () => {
      expect(await read(zipOf(entries, options))).to.deep.equal([text, text, '']);
    });
  }

  it('is refused in one line where it is damaged, whatever the damage', async () => {
    const good = zipOf(entries);
    const directory = good.indexOf('PK\x01\x02', 0, 'latin1');
    const end = good.indexOf('PK\x05\x06', 0, 'latin1');
    const changed = (change: (bytes: Buffer) => void): Buffer => {
      const bytes = Buffer.from(good);
      change(bytes);
      return bytes;
    };
    const damages: readonly (readonly [string, Buffer])[] = [
      ['empty', Buffer.alloc(0)],
      ['of another kind', Buffer.from('not a zip file')],
      ['cut before its end record', good.subarray(0, end)],
      ['without its beginning', good.subarray(directory)],
      ['its list of files overwritten', changed((b) => b.fill(0, directory, directory + 4))],
      ['counting more files than it has', changed((b) => b.writeUInt16LE(9, end + 10))],
      ['its list of files beyond its end', changed((b) => b.writeUInt32LE(1e9, end + 16))],
      ['without the 64-bit record it speaks of', changed((b) => b.writeUInt16LE(0xffff, end + 10))],
    ];
    for (const [what, bytes] of damages) {
      const problem = await problemOf(() => read(bytes));
      expect(problem, what).to.match(/made\.whl cannot be read as a zip file \(.+\); fetch it again$/);
    }
  });

  it('has an entry refused that cannot be inflated, or is not there', async () => {
    const good = zipOf(entries);
    const at = good.indexOf('folder/') + 'folder/ä deflated.txt'.length + 1 + 4;
    const broken = Buffer.from(good).fill(0xff, at, at + 8);
    expect(await problemOf(() => read(broken, entries[1]!.name))).to.match(/deflated\.txt in .* cannot be read \(.+\)/);
    expect(await problemOf(() => read(good, 'other'))).to.match(/made\.whl holds no other; fetch it again$/);
  });
});

describe('tfjs-node set-up: a wheel of TensorFlow', () => {
  const folder = temporaryFolder();
  it('gives the two libraries and the headers that the addon includes, and nothing else', async () => {
    const wheel = writeWheel(folder(), CPU_WHEEL);
    const to = join(folder(), 'deps');
    await extractWheel(wheel, await readWheel(wheel), to);
    const found = readdirSync(to, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(to.length + 1))
      .sort();
    expect(found).to.deep.equal([
      'include/external/local_tsl/tsl/c/tsl_status.h',
      'include/tensorflow/c/c_api.h',
      'include/tensorflow/c/eager/c_api.h',
      'include/tensorflow/core/platform/ctstring_internal.h',
      'lib/libtensorflow_cc.so.2',
      'lib/libtensorflow_framework.so.2',
    ]);
    for (const name of ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']) {
      expect(readFileSync(join(to, 'lib', name), 'utf8')).to.equal(tensorflowFiles[`tensorflow/${name}`]);
    }
  });

  it('names the CUDA packages of its extra, in either spelling of the metadata', async () => {
    const requires = [
      'Requires-Dist: numpy>=1.26.0',
      "Requires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == 'and-cuda'",
      'Requires-Dist: nvidia-cudnn-cu12 (<10.0,>=9.3.0.75) ; extra == "and-cuda"',
      'Requires-Dist: nvidia-nccl-cu12; extra == "and-cuda"',
      "Requires-Dist: wheel; extra == 'other'",
    ];
    const { cuda } = await readWheel(writeWheel(folder(), CPU_WHEEL, { requires }));
    expect(cuda).to.deep.equal([
      'nvidia-cublas-cu12<13.0,>=12.5.3.2',
      'nvidia-cudnn-cu12<10.0,>=9.3.0.75',
      'nvidia-nccl-cu12',
    ]);
  });

  it('is refused where it is none for Linux', async () => {
    const files = { 'tensorflow/libtensorflow_cc.2.dylib': 'library' };
    const mac = writeWheel(folder(), 'tensorflow-2.21.0-cp311-cp311-macosx_12_0_arm64.whl', { files });
    const problem = await problemOf(() => readWheel(mac));
    expect(problem).to.match(/macosx_12_0_arm64\.whl holds no tensorflow\/libtensorflow_cc\.so\.2; give a Linux wheel/);
  });

  it('is refused where a file is not what its record says, or is not recorded', async () => {
    const changes: readonly ((text: string) => string)[] = [
      (text) => text.replace(/(framework\.so\.2,sha256=)./, '$1-'),
      (text) => text.replace(/^.*framework\.so\.2,.*\n/m, ''),
    ];
    for (const record of changes) {
      const wheel = writeWheel(folder(), CPU_WHEEL, { record });
      const problem = await problemOf(async () => extractWheel(wheel, await readWheel(wheel), join(folder(), 'deps')));
      expect(problem).to.equal(
        `tensorflow/libtensorflow_framework.so.2 in ${CPU_WHEEL} does not match the wheel's record; ` +
          'fetch the wheel again',
      );
    }
  });

  it('writes nothing outside its folder', async () => {
    const files = { ...tensorflowFiles, 'tensorflow/include/tensorflow/c/../../../../../evil.h': 'evil' };
    const wheel = writeWheel(folder(), CPU_WHEEL, { files });
    const to = join(folder(), 'a/deps');
    mkdirSync(to, { recursive: true });
    const problem = await problemOf(async () => extractWheel(wheel, await readWheel(wheel), to));
    expect(problem).to.match(
      /has an unsafe path tensorflow\/include\/tensorflow\/c\/\.\.\/.*evil\.h; fetch it from PyPI$/,
    );
    for (const place of [folder(), join(folder(), 'a'), to]) expect(existsSync(join(place, 'evil.h'))).to.equal(false);
  });

  it('has only the headers taken that the addon needs', () => {
    for (const name of ['tensorflow/c/c_api.h', 'tensorflow/c/eager/c_api.h', 'xla/tsl/c/tsl_status.h']) {
      expect(isWantedHeader(`tensorflow/include/${name}`), name).to.equal(true);
    }
    for (const name of ['tensorflow/c/c_api.cc', 'tensorflow/core/graph.h', 'Eigen/Core.h', 'tensorflow/c.h']) {
      expect(isWantedHeader(`tensorflow/include/${name}`), name).to.equal(false);
    }
    expect(isWantedHeader('other/include/tensorflow/c/c_api.h')).to.equal(false);
  });
});

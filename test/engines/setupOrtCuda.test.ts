import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { placeCudaLibraries } from '../../src/engines/onnxruntime/setup.js';
import { problemOf, temporaryFolder, writeWheel } from './tfjs/wheels.js';

const NAME = 'onnxruntime_gpu-1.30.0-cp311-cp311-manylinux_2_28_x86_64.whl';
const files = {
  'onnxruntime/capi/libonnxruntime_providers_cuda.so': 'CUDA '.repeat(5000),
  'onnxruntime/capi/libonnxruntime_providers_shared.so': 'shared',
  'onnxruntime/capi/libonnxruntime_providers_tensorrt.so': 'not needed',
  'onnxruntime/__init__.py': '# not needed',
};
const requires = [
  'Version: 1.30.0',
  'Requires-Dist: numpy>=1.21.6',
  'Requires-Dist: nvidia-cuda-runtime~=13.0; extra == "cuda"',
  'Requires-Dist: nvidia-cudnn-cu13 (~=9.0) ; extra == "cudnn"',
];

describe('ort-cuda set-up: the libraries of a wheel', () => {
  const folder = temporaryFolder();
  let lines: string[];
  beforeEach(() => {
    lines = [];
  });

  const place = (wheel?: string, version = '1.30.0') =>
    placeCudaLibraries({ version, folder: folder(), wheel, log: (line) => lines.push(line) });
  const placed = () => readdirSync(folder()).filter((name) => !name.endsWith('.whl'));
  const both = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so'] as const;

  it('are put in place, with where they come from, and it is said what they need; a second time there is nothing to do', async () => {
    const wheel = writeWheel(folder(), NAME, { files, requires });
    const needs = ['nvidia-cuda-runtime~=13.0', 'nvidia-cudnn-cu13~=9.0'];
    expect(await place(wheel)).to.deep.equal({ needs, changed: true });
    expect(lines).to.deep.equal([`extracting ${NAME}`]);
    for (const name of both) {
      expect(readFileSync(join(folder(), name), 'utf8')).to.equal(files[`onnxruntime/capi/${name}`]);
    }
    expect(placed()).to.deep.equal([...both, 'setup-ort-cuda.json']); // no lock, nothing half done
    expect(await place()).to.deep.equal({ needs, changed: false });
    expect(lines.at(-1)).to.equal(`the libraries of ${NAME} are in place`);
  });

  it('take the place of others, which is said', async () => {
    for (const name of both) writeFileSync(join(folder(), name), 'for CUDA 12');
    await place(writeWheel(folder(), NAME, { files, requires }));
    expect(lines.at(-1)).to.equal('taking the place of CUDA libraries from elsewhere');
    expect(readFileSync(join(folder(), both[1]), 'utf8')).to.equal('shared');
  });

  describe('are refused, and those that are there stay,', () => {
    beforeEach(() => {
      for (const name of both) writeFileSync(join(folder(), name), 'as they were');
    });
    afterEach(() => {
      for (const name of both) expect(readFileSync(join(folder(), name), 'utf8')).to.equal('as they were');
      expect(placed()).to.deep.equal([...both]);
    });

    it('where they are of another version than onnxruntime-node', async () => {
      const wheel = writeWheel(folder(), NAME, { files, requires });
      expect(await problemOf(() => place(wheel, '1.31.0'))).to.equal(
        `${NAME} is version 1.30.0; onnxruntime-node here is 1.31.0, give that version's`,
      );
    });

    it('where they are not those that the wheel recorded', async () => {
      const record = (text: string): string => text.replace(/(cuda\.so,sha256=).{4}/, '$1AAAA');
      const wheel = writeWheel(folder(), NAME, { files, requires, record });
      expect(await problemOf(() => place(wheel))).to.match(
        /^onnxruntime\/capi\/libonnxruntime_providers_cuda\.so in .*\.whl does not match the wheel's record; fetch/,
      );
    });

    it('where they are not in it: the wheel for CPUs, the wheel of something else, no wheel', async () => {
      const { 'onnxruntime/capi/libonnxruntime_providers_cuda.so': _, ...others } = files;
      const wheel = writeWheel(folder(), NAME, { files: others, requires });
      expect(await problemOf(() => place(wheel))).to.equal(
        `${wheel} holds no CUDA libraries of ONNX Runtime; give a Linux wheel of onnxruntime-gpu 1.30.0`,
      );
      const notOne = writeWheel(folder(), NAME.replace('onnxruntime_gpu', 'numpy'), { files, requires });
      expect(await problemOf(() => place(notOne))).to.match(/holds no CUDA libraries/);
      expect(await problemOf(() => place(join(folder(), 'none.whl')))).to.match(
        /none\.whl is not a file; give the path/,
      );
    });
  });
});

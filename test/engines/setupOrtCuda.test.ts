import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { extractLibraries } from '../../src/engines/onnxruntime/setup.js';
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

if (process.platform === 'linux') {
  describe('ort-cuda set-up: the libraries of a wheel', () => {
    const folder = temporaryFolder();

    it('are extracted, and it is said what they need', async () => {
      const wheel = writeWheel(folder(), NAME, { files, requires });
      const lines: string[] = [];
      expect(await extractLibraries(wheel, '1.30.0', folder(), (line) => lines.push(line))).to.deep.equal([
        'nvidia-cuda-runtime~=13.0',
        'nvidia-cudnn-cu13~=9.0',
      ]);
      expect(lines).to.deep.equal([`extracting ${NAME}`]);
      for (const kind of ['cuda', 'shared'] as const) {
        const name = `libonnxruntime_providers_${kind}.so` as const;
        expect(readFileSync(join(folder(), name), 'utf8')).to.equal(files[`onnxruntime/capi/${name}`]);
      }
      expect(existsSync(join(folder(), 'libonnxruntime_providers_tensorrt.so'))).to.equal(false);
    });

    it('must be of the version that onnxruntime-node has', async () => {
      const wheel = writeWheel(folder(), NAME, { files, requires });
      expect(await problemOf(() => extractLibraries(wheel, '1.31.0', folder()))).to.equal(
        `set-up: ${NAME} is version 1.30.0; onnxruntime-node here is 1.31.0, give that version's`,
      );
      expect(existsSync(join(folder(), 'libonnxruntime_providers_cuda.so'))).to.equal(false);
    });

    it('must be those that the wheel recorded', async () => {
      const record = (text: string): string => text.replace(/(cuda\.so,sha256=).{4}/, '$1AAAA');
      const wheel = writeWheel(folder(), NAME, { files, requires, record });
      expect(await problemOf(() => extractLibraries(wheel, '1.30.0', folder()))).to.match(
        /^set-up: onnxruntime\/capi\/libonnxruntime_providers_cuda\.so in .*\.whl does not match the wheel's record; fetch/,
      );
    });

    it('must be in it: the wheel for CPUs has none', async () => {
      const { 'onnxruntime/capi/libonnxruntime_providers_cuda.so': _, ...others } = files;
      const wheel = writeWheel(folder(), NAME, { files: others, requires });
      expect(await problemOf(() => extractLibraries(wheel, '1.30.0', folder()))).to.equal(
        `set-up: ${wheel} holds no CUDA libraries of ONNX Runtime; give a Linux wheel of onnxruntime-gpu 1.30.0`,
      );
      const notOne = writeWheel(folder(), NAME.replace('onnxruntime_gpu', 'numpy'), { files, requires });
      expect(await problemOf(() => extractLibraries(notOne, '1.30.0', folder()))).to.match(/holds no CUDA libraries/);
    });
  });
}

/**
 * EfficientNet-Lite0, 1 and 2 with their real ImageNet weights, one after the other, on 1,000 photographs, one a class.
 *
 * Command   python bench/efficientnet-lite.py FOLDER PHOTOGRAPHS          (PyTorch and four packages of PyPI, named there)
 *           LITE=FOLDER npx dgate run ./examples/own-network/efficientnet-lite.ts
 *           LITE=FOLDER npx dgate run ./examples/own-network/efficientnet-lite.ts --preset smoke      (Lite0, then Lite2)
 *
 * The photographs may be among those that the networks have learnt from. Nothing is trained: a gate would need images of every
 * class to learn from, and of each class there is one photograph.
 */
import { cascade, defineExperiment, imageFolder, onnxNetwork } from 'dgate';

const folder = process.env['LITE'] ?? '.';
/** As the networks' authors prepare images: (byte - 127) / 128, 32 pixels cut off. */
const pixels = (side: number) => {
  const [mean, std] = [new Array<number>(3).fill(127 / 255), new Array<number>(3).fill(128 / 255)];
  return { mean, std, resize: side + 32, crop: side, interpolation: 'bicubic' } as const;
};
const lite = (number: 0 | 1 | 2) => ({
  network: onnxNetwork(`${folder}/efficientnet-lite${number}.onnx`, { preprocess: pixels([224, 240, 260][number]!) }),
});

export default defineExperiment({
  name: 'efficientnet-lite',
  title: 'EfficientNet-Lite0, then 1 and 2 where they are not sure, 999 ImageNet photographs',
  network: cascade([lite(0), lite(1), lite(2)]),
  dataset: imageFolder(`${folder}/images`, { preprocess: pixels(260), testShare: 0.999 }),
  thresholds: { margins: [0, 0.005, 0.01, 0.02], guarantee: { drop: 0.03 } },
  baselines: [lite(0), lite(1)],
  presets: {
    smoke: {
      title: 'EfficientNet-Lite0, then 2 where it is not sure, 999 ImageNet photographs',
      network: cascade([lite(0), lite(2)]),
      baselines: [],
    },
  },
});

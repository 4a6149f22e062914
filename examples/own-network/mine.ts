/**
 * Gates on a network of your own, end to end.
 *
 * Command   python3 export.py model.onnx                    (or your own export; PyTorch)
 *           npx dgate model inspect model.onnx              (what it costs, and where gates can sit)
 *           npx dgate run ./mine.ts                         (images/<class>/<file>, in the order of the network's outputs)
 *           npx dgate export ./mine.ts --margin 0.01 --out gated.onnx
 *           npx dgate predict --model gated.onnx photo.jpg
 */
import { defineExperiment, imageFolder, onnxNetwork } from 'dgate';

export default defineExperiment({
  name: 'mine',
  title: 'Gates on my network',
  network: onnxNetwork('model.onnx'),
  dataset: imageFolder('images', { preprocess: 'torchvision-v2' }),
  gates: { after: [1, 2] },
  thresholds: { margins: [0.005, 0.01], guarantee: { drop: 0.01 } },
  presets: {
    // The small network of export.py, on images of 64 x 64 pixels.
    smoke: {
      dataset: imageFolder('images', {
        preprocess: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], resize: 64, crop: 64 },
      }),
    },
  },
});

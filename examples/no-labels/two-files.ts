/**
 * A promise without labels: photographs that nobody has labelled choose the threshold of a cascade, so that with 95 %
 * confidence at most 2 % of new photographs of the same kind get another answer than large.onnx alone would give.
 *
 * Command   npx dgate run ./two-files.ts
 *           npx dgate export ./two-files.ts --out cascade.onnx --row 2
 */
import { cascade, defineExperiment, onnxNetwork } from 'dgate';

const pixels = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], resize: 64, crop: 64 };
const file = (path: string) => ({ network: onnxNetwork(path, { preprocess: pixels }) });

export default defineExperiment({
  name: 'no-labels',
  title: 'small.onnx, then large.onnx, agreement with large.onnx',
  network: cascade([file('small.onnx'), file('large.onnx')]),
  unlabelled: 'photos',
  thresholds: { disagreements: [0.01], guarantee: { disagreement: 0.02 } },
});

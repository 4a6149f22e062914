/**
 * Thresholds for scores that lie in a file, from a program of your own: chosen on half of the images, reported on the others.
 *
 * Command   npx tsx examples/library/thresholds.ts scores.npz          (docs/scores.md says what is in such a file)
 */
import { certify, evaluate, loadScores, searchThresholds } from 'dgate';

const [file = 'test/fixtures/scores/branchy.safetensors'] = process.argv.slice(2);
const { scores, costs } = await loadScores(file);
const images = Array.from({ length: scores.count }, (_, i) => i);
const choosing = images.filter((i) => i % 2 === 0);
const reported = images.filter((i) => i % 2 === 1);
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

for (const margin of [0, 0.01, 0.02]) {
  const { thresholds } = searchThresholds({ scores, costs }, { margin }, choosing);
  const { accuracy, flops } = evaluate(scores, thresholds, costs, reported);
  const saved = percent(1 - flops / costs.at(-1)!);
  console.log(
    `margin ${percent(margin)}: thresholds ${thresholds.map((t) => t.toFixed(2)).join(', ')}, accuracy ${percent(accuracy)}, ${saved} saved`,
  );
}
const promised = certify({ scores, costs }, { drop: 0.05, confidence: 0.9 }, choosing);
console.log(promised.open ? 'thresholds with a promise were found' : 'nothing can be promised: all exits stay closed');

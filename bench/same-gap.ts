/**
 * Hinge gates and scikit-learn's LinearSVC to the same relative duality gap, on the same features.
 *
 * Usage: npx tsx bench/same-gap.ts [EXPERIMENT [PRESET [GATE...]]]     (by default table1 laptop: 2,048, 4,096 and 512 features)
 *
 * Times are processor time, ours of all that training does, the other's of `fit` alone. The lowest objective is bounded from
 * below by our gate of a tenth of the gap; the other is asked for twice as many iterations until its objective, of all classes
 * together, is within the gap of that bound. Ours stops by its worst class, which asks for more.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GateTraining } from '../src/gates/train.js';
import { trainGate } from '../src/gates/train.js';
import { silent } from '../src/progress.js';
import { gateTrainer } from '../src/run/train.js';
import { startScript } from './runner/python-script.js';
import { type Fit, l2, objectiveOfFit, openSubject, trainingFeatures } from './suite/linear-gates.js';

const GAP = 1e-3;
const MOST_ITERATIONS = 2560;

const [experiment = 'table1', preset = 'laptop', ...gates] = process.argv.slice(2);
const features = await trainingFeatures(experiment, preset);
const engine = await gateTrainer.create();
for (const gate of features.widths.keys()) {
  if (gates.length > 0 && !gates.includes(String(gate + 1))) continue;
  const subject = await openSubject(features, gate);
  const train = (gap: number) => {
    const training: GateTraining = { loss: 'hinge', l2, solver: 'optimum', gap, epochs: 3000, batchSize: 512, seed: 0 };
    return trainGate(subject.data, training, engine, silent, 'gate');
  };
  const before = process.cpuUsage();
  const ours = await train(GAP);
  const { user, system } = process.cpuUsage(before);
  const seconds = (user + system) / 1e6;
  const best = await train(GAP / 10);
  const lowest = best.objective * (1 - best.gap!);
  const { count } = subject.data;
  const about = `${subject.data.features} features, ${count} images`;
  console.log(
    `${about}: ours ${seconds.toFixed(1)} s, gap ${ours.gap!.toExponential(1)}, worst class ${ours.worstGap!.toExponential(1)}`,
  );
  const folder = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
  const files = [join(folder, 'x.bin'), join(folder, 'labels.bin')] as const;
  await writeFile(files[0], new Uint8Array(subject.x.buffer));
  await writeFile(files[1], new Uint8Array(subject.labels.buffer));
  const script = await startScript<{ version: string }>('linear_gates.py', [...files, String(subject.data.features)]);
  try {
    for (let iterations = 40; iterations <= MOST_ITERATIONS; iterations *= 2) {
      const ask = { loss: 'hinge', precision: 'float64', c: 1 / (l2 * count), iterations, tolerance: 1e-12 };
      const fit: Fit = await script.ask(JSON.stringify(ask));
      const objective = objectiveOfFit('hinge', subject, fit);
      const gap = (objective - lowest) / objective;
      const ratio = (seconds / fit.processor).toFixed(2);
      console.log(
        `${about}: LinearSVC ${script.hello.version}, ${iterations} iterations, ${fit.processor.toFixed(1)} s, gap ${gap.toExponential(1)}: ours / its ${ratio}`,
      );
      if (gap <= GAP) break;
    }
  } finally {
    await script.close();
    await rm(folder, { recursive: true, force: true });
  }
}

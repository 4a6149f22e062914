/**
 * npx tsx bench/dynamic-agreement.ts ENGINE [EXPERIMENT] [IMAGES] [BATCH]      (ort-cpu table1 10000 32)
 *
 * Class and exit of CIFAR-10 test images by dynamic execution on an engine, against the cached evaluation of ort-cpu's
 * features: the same gates and thresholds (the first row of the laptop preset's table), real images. Printed: how many are
 * the same, how many differ with a confidence within 1e-4 of its threshold, how many differ without that excuse, and the
 * largest difference of a confidence. Exit status 1 where one differs. Needs CIFAR-10 in DGATE_CACHE.
 */
import { openContext } from '../src/cli/context.js';
import { createEngine } from '../src/engines/registry.js';
import { loadDefinition } from '../src/experiment/load.js';
import { resolveExperiment } from '../src/experiment/resolve.js';
import { compareDynamic, describeVerification, openGated } from '../src/gated/open.js';

const [engineName = 'ort-cpu', name = 'table1', images = '10000', batch = '32'] = process.argv.slice(2);
const context = await openContext({});
const { exported } = await loadDefinition(name);
const opened = await openGated(context, resolveExperiment(exported, name, 'laptop', []));
const engine = await createEngine(engineName);
const gated = await engine.loadGated(await opened.lowered(), opened.gates, opened.experiment.gates.confidence);
const started = performance.now();
const found = await compareDynamic(opened, gated, opened.rows[0]!, {
  batch: Number(batch),
  limit: Number(images),
  progress: context.progress,
});
const seconds = (performance.now() - started) / 1000;
process.stdout.write(
  `${name} on ${engineName} (${engine.describe().device}), batch ${batch}, ${seconds.toFixed(0)} s: ${describeVerification(found)}\n`,
);
await gated.close();
process.exit(found.different.length > 0 ? 1 : 0);

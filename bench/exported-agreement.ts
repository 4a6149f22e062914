/**
 * npx tsx bench/exported-agreement.ts F.onnx EXPERIMENT PYTHON [RUNTIME] [BATCH]      (... python3 openvino 32)
 *
 * Class and exit of all test images by an exported file in Python's ONNX Runtime or OpenVINO (`gated_onnx.py`), against the
 * cached evaluation of the experiment (laptop preset) with the thresholds that the file names. Printed: how many are the same, how
 * many differ with a confidence within 1e-4 of its threshold, how many differ without that excuse. Exit status 1 where one does.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { openContext } from '../src/cli/context.js';
import { loadDefinition } from '../src/experiment/load.js';
import { resolveExperiment } from '../src/experiment/resolve.js';
import { compareBatch, describeVerification, emptyVerification, openGated } from '../src/gated/open.js';

import { readGatedFile } from '../src/onnx/gated-file.js';
import { paperExperiments } from '../src/paper/index.js';

const [file = '', name = 'cascade', python = 'python3', runtime = 'onnxruntime', batch = '32'] = process.argv.slice(2);
const context = await openContext({});
const { exported, where } = await loadDefinition(name);
const opened = await openGated(context, resolveExperiment(exported, where, 'laptop', [], paperExperiments));
const { about } = readGatedFile(await readFile(file), file);
const images = Int32Array.from({ length: opened.test.count }, (_, i) => i);
const script = fileURLToPath(new URL('gated_onnx.py', import.meta.url));
const started = performance.now();
const child = spawn(python, [script, file, String(images.length), runtime, batch], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
child.stdin.end(await opened.test.batch(images));
let printed = '';
for await (const chunk of child.stdout.setEncoding('utf8')) printed += chunk as string;
const answers = JSON.parse(printed) as Record<'class' | 'exit' | 'confidence', number[]>;
const found = emptyVerification();
compareBatch(found, opened.scores, about.thresholds, images, {
  classes: Int32Array.from(answers.class),
  exits: Int32Array.from(answers.exit),
  confidences: Float32Array.from(answers.confidence),
});
const seconds = ((performance.now() - started) / 1000).toFixed(0);
process.stdout.write(`${file} in ${runtime}, batch ${batch}, ${seconds} s: ${describeVerification(found)}\n`);
process.exit(found.different.length > 0 ? 1 : 0);

import { networkByName } from '/work/main/src/networks/catalogue.js';
import { recipes } from '/work/main/src/training/recipe.js';
import { initialTensors } from '/work/main/src/training/initialise.js';
import { tfjsTraining } from '/work/main/src/engines/tfjs/training/trainer.js';
import { loadTensorFlow } from '/work/main/src/engines/tfjs/backend.js';
const B = 128;
for (const name of process.argv.slice(2)) {
  const network = networkByName(name);
  const tr = await tfjsTraining(await loadTensorFlow('tfjs-node')).load(network, recipes.laptop, { weights: initialTensors(network, 1, true), momenta: new Map() });
  const x = Float32Array.from({ length: B * 3072 }, (_, i) => Math.sin(i * 0.37 + (i >> 7)));
  const labels = Int32Array.from({ length: B }, (_, i) => i % 10);
  const wall: number[] = [], cpu: number[] = [];
  for (let s = 0; s < 12; s++) { const t = performance.now(), c = process.cpuUsage(); await tr.step(x, labels, 0.01); wall.push(performance.now() - t); const d = process.cpuUsage(c); cpu.push((d.user + d.system) / 1e3); }
  const med = (a: number[]) => a.slice(2).sort((p, q) => p - q)[5]!;
  console.log(name, 'images/s wall', (B * 1000 / med(wall)).toFixed(0), 'best', (B * 1000 / Math.min(...wall)).toFixed(0), 'per 2 free cores (cpu time)', (2 * B * 1000 / med(cpu)).toFixed(0));
  await tr.close();
}

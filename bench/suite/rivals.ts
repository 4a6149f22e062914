import { rm } from 'node:fs/promises';
import { answersOf, measuredPath, measureSubject } from '../rivals/measure.js';
import { openSubject, subjects } from '../rivals/subjects.js';
import { saveRivals } from '../rivals/table.js';
import type { Benchmark, Ratio } from '../runner/types.js';

/**
 * What is prepared once lies in `rivals/` of the cache: thresholds, 8-bit networks, earlyon's exits, answers, memory. Only times
 * are measured anew; an interrupted run goes on behind the networks that it has measured. `DGATE_RIVALS=NAME,NAME` measures
 * some of the networks only.
 */
export const benchmark: Benchmark = {
  name: 'rivals',
  title:
    'dgate against what people use: smaller networks, 8 bits, OpenVINO, torch.compile, earlyon, on one network each',
  peers: ['torch', 'onnxruntime', 'openvino', 'nncf', 'earlyon'],
  async run(bench) {
    const ratios: Ratio[] = [];
    const done: string[] = [];
    const chosen = process.env['DGATE_RIVALS']?.split(',') ?? Object.keys(subjects);
    for (const name of chosen) {
      const subject = await openSubject(name, bench.python, bench.say);
      for (const [what, why] of Object.entries(subject.leftOut)) bench.say(`${name}: ${what} left out: ${why}`);
      const answers = await answersOf(subject, bench);
      const measured = await measureSubject(subject, bench);
      await saveRivals(subject, answers, measured, bench.conditions);
      done.push(measuredPath(subject));
      for (const times of Object.values(measured.times)) ratios.push(...Object.values(times).map(({ ratio }) => ratio));
    }
    for (const path of done) await rm(path);
    return ratios;
  },
};

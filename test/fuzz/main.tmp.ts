import { fuzz } from './fuzz.js';
import { readers as checkpointReaders } from './readers/index.js';

const [, , n = '500', seed = '1', name] = process.argv;
for (const r of checkpointReaders) {
  if (name && r.name !== name) continue;
  const o = await fuzz(r, { seed: Number(seed), inputs: Number(n) });
  console.log(
    JSON.stringify({ ...o, failure: o.failure?.slice(0, 1500) }),
    Math.round(process.resourceUsage().maxRSS / 1024),
  );
}

import { openSync, writeSync } from 'node:fs';
import { fuzz } from './fuzz.js';
import { readers } from './readers/index.js';

// One reader's inputs in a process of its own: `child.ts READER SEED INPUTS PROGRESS-FILE [ONLY]`. What a crash or a hang
// was reading stands in the file: the input's number, 8 bytes.
const [name, seed, inputs, progress, only] = process.argv.slice(2);
const reader = readers.find((candidate) => candidate.name === name);
if (reader === undefined || progress === undefined) throw new Error(`no reader ${name}`);
const file = openSync(progress, 'w');
const number = Buffer.alloc(8);
const outcome = await fuzz(reader, {
  seed: Number(seed),
  inputs: Number(inputs),
  ...(only === undefined ? {} : { only: Number(only) }),
  before(index) {
    number.writeBigInt64LE(BigInt(index));
    writeSync(file, number, 0, 8, 0);
  },
});
process.stdout.write(JSON.stringify({ ...outcome, memoryMb: process.resourceUsage().maxRSS / 1024 }));
// ONNX Runtime's threads and libvips' may stay.
process.exit(0);

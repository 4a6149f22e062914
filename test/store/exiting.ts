import { join } from 'node:path';
import { removeTemporaryFiles, writeFileAtomic } from '../../src/store/files.js';

// Ends while it writes many files into the folder that it is told: some are just being made.
process.once('exit', removeTemporaryFiles);
const folder = process.argv[2]!;
for (let i = 0; i < 300; i++) void writeFileAtomic(join(folder, `${i}`), 'x'.repeat(10_000)).catch(() => {});
setTimeout(() => process.exit(0), 3);

import { removeTemporaryFiles } from '../../src/store/files.js';
import { type Told, work } from './work.js';

// Run by the tests of faults in a process of its own; what it is told comes as JSON in its first argument.
process.once('exit', removeTemporaryFiles);
const { status, stdout } = await work(JSON.parse(process.argv[2]!) as Told, (line) =>
  process.stderr.write(`${line}\n`),
);
process.stdout.write(stdout);
process.exitCode = status;

import { readFileSync } from 'node:fs';
import { IsolatedRuntime } from '../../src/engines/onnxruntime/isolated-runtime.js';

// Opens the model that comes on stdin in a process of its own and prints that process's id; killed by the test meanwhile.
const runtime = new IsolatedRuntime({ seconds: 30, memoryMb: 1000, outputMb: 10 }, 'another');
void runtime.open(readFileSync(0), 'endless.onnx');
setTimeout(() => process.stdout.write(`${runtime.pid}\n`), 2000);

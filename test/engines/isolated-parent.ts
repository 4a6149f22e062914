import { readFileSync } from 'node:fs';
import { IsolatedRuntime } from '../../src/engines/onnxruntime/session.js';

// Opens and runs the model that comes on stdin in a process of its own and prints that process's id; killed by the test meanwhile.
const runtime = new IsolatedRuntime({ seconds: 600, memoryMb: 2000, outputMb: 10 }, 'another');
const { run } = await runtime.open(readFileSync(0), 'endless.onnx');
void run({ x: { type: 'float32', dims: [1], data: Float32Array.of(3) } });
process.stdout.write(`${runtime.pid}\n`);

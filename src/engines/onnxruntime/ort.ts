/**
 * ONNX Runtime, with its telemetry off. Nothing else of this project may import `onnxruntime-node` (the linter refuses it):
 * from 1.30 on the native library, once loaded, writes a device id below HOME and a log into the temporary folder, and asks
 * for the address of a telemetry host, unless the environment of the process says no before.
 */
import './no-telemetry.js'; // stays first: it is evaluated before the native library is loaded
import './loads.js';

export * from 'onnxruntime-node';

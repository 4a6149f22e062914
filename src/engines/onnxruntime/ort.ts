/**
 * ONNX Runtime with telemetry off. No other module may import `onnxruntime-node` (the linter refuses it): from 1.30 on, the
 * native library writes a device id below HOME and a log into the temporary folder, and looks up a telemetry host, unless
 * the process's environment forbids it before the library is loaded.
 */
import './no-telemetry.js'; // stays first: it is evaluated before the native library is loaded
import './loads.js';

export * from 'onnxruntime-node';

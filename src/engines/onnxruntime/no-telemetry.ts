// Node passes this on to the native environment (`setenv`), where ONNX Runtime reads it.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

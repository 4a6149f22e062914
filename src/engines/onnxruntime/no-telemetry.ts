// Node passes what is set here on to the native environment (`setenv`), where ONNX Runtime asks for it.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

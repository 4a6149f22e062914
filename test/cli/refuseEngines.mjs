import { onResolve } from './onResolve.mjs';

// Loaded before the command line: anything that then asks for an engine or the image library fails.
onResolve((specifier, context, next) => {
  if (/^(onnxruntime|@tensorflow|sharp)/.test(specifier)) throw new Error(`refused: ${specifier}`);
  return next(specifier, context);
});

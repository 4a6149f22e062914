import { register } from 'node:module';

// Loaded before the command line: anything that then asks for an engine or the image library fails.
const hooks = `export async function resolve(specifier, context, next) {
  if (/^(onnxruntime|@tensorflow|sharp)/.test(specifier)) throw new Error('refused: ' + specifier);
  return next(specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

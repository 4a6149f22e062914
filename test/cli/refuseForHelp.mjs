import { register } from 'node:module';

// Loaded before the command line: a package other than yargs that dgate itself then asks for fails.
const hooks = `export async function resolve(specifier, context, next) {
  const isPackage = /^[a-z@]/.test(specifier) && !/^(node|file|data):/.test(specifier) && specifier !== 'yargs';
  const parent = context.parentURL ?? '';
  if (isPackage && parent.includes('/src/') && !parent.includes('/node_modules/')) {
    throw new Error('refused: ' + specifier);
  }
  return next(specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

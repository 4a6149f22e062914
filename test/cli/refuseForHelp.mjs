import { onResolve } from './onResolve.mjs';

// Loaded before the command line: a package other than yargs that dgate itself then asks for fails.
onResolve((specifier, context, next) => {
  const isPackage = /^[a-z@]/.test(specifier) && !/^(node|file|data):/.test(specifier) && specifier !== 'yargs';
  const parent = context.parentURL ?? '';
  if (isPackage && parent.includes('/src/') && !parent.includes('/node_modules/')) {
    throw new Error(`refused: ${specifier}`);
  }
  return next(specifier, context);
});

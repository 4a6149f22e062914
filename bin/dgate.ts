#!/usr/bin/env node
// An old Node (12.17 and newer) must be able to parse this file and report the required version: no static import, no
// syntax newer than ES2019.
const oldest = [20, 19] as const;
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major < oldest[0] || (major === oldest[0] && minor < oldest[1])) {
  process.stderr.write(`dgate: Node ${process.versions.node} is too old; valid: Node ${oldest.join('.')} or newer\n`);
  process.exitCode = 2;
} else {
  import('../src/cli/supervisor.js')
    .then(({ start }) => start(process.argv.slice(2)))
    .catch(reportUnloaded)
    .then((status) => {
      if (status !== 0) process.exitCode = status;
    });
}

/** The program's own files cannot be read, for example at a limit on open files. */
function reportUnloaded(error: unknown): number | PromiseLike<number> {
  return import('../src/cli/output.js').then(
    ({ reportFailure }) => reportFailure(error),
    () => {
      process.stderr.write(
        `dgate: cannot be loaded: ${error instanceof Error ? error.message : error}; valid: higher limits (ulimit -a)\n`,
      );
      return 2;
    },
  );
}

export {};

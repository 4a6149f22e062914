// Mocha's `spec`, and which tests were tried again (`--retries`), and why.
const { reporters } = require('mocha');

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.on('retry', (test, error) => {
      process.stdout.write(`== tried again: ${test.titlePath().join(': ')}\n${error.stack ?? error.message}\n`);
    });
  }
};

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { startsWith } from './cli.js';

describe('dgate completion', () => {
  if (process.platform === 'win32') return; // bash and zsh, with a program of a shell script

  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'dgate-completion-'));
    const file = join(folder, 'dgate');
    const { loads, place } = startsWith({});
    const words = [process.execPath, ...loads, fileURLToPath(place('bin/dgate'))].map((word) => `'${word}'`);
    writeFileSync(file, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
    chmodSync(file, 0o755);
  });
  after(() => rmSync(folder, { recursive: true }));

  /** What bash would offer for the last of these words. */
  const offered = (...words: string[]): string[] => {
    const script = `eval "$(dgate completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dgate dgate "\${@: -1}"
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const env = { ...process.env, PATH: `${folder}${delimiter}${process.env['PATH']}` };
    const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8', env });
    expect(stderr).to.equal('');
    return stdout.split('\n').filter(Boolean);
  };

  it('offers commands, their subcommands and their options in bash', () => {
    expect(offered('dgate', 'comp')).to.have.members(['compare', 'completion']);
    expect(offered('dgate', 'data', '')).to.include.members(['fetch', 'verify']);
    expect(offered('dgate', 'run', '--pre')).to.deep.equal(['--preset']);
  });

  it('is a script that zsh can read, where there is zsh', function () {
    if (spawnSync('zsh', ['--version']).status !== 0) this.skip();
    const script = spawnSync(join(folder, 'dgate'), ['completion', 'zsh'], { encoding: 'utf8' }).stdout;
    expect(spawnSync('zsh', ['-n'], { input: script }).status).to.equal(0);
  });
});

import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { asSystemProblem } from '../../src/errors.js';
import { tinyNetwork, writeTinyCheckpoint } from '../run/workplace.js';
import { distIsFresh, makePlace, type Place, runCli } from './cli.js';

/** Starts a command from bash, after this. */
const afterwards = (script: string) => ['bash', '-c', `${script}; exec "$@"`, 'bash'];
/** What stands in front of a redirection of the command's own output. */
const redirected = (to: string) => ['bash', '-c', `exec "$@" ${to}`, 'bash'];

describe('an error of the operating system is one line and status 2:', () => {
  let place: Place;
  before(async () => {
    place = await makePlace();
    await symlink(join(place.folder, 'nowhere'), join(place.folder, 'dangling'));
    await mkdir(join(place.folder, 'gone'));
    await writeFile(join(place.folder, 'mine.ts'), 'export const other = 1;');
    await writeTinyCheckpoint(join(place.folder, 'tiny.safetensors'));
  });
  after(() => place.remove());

  const run = ['run', 'resnet56', '--preset', 'smoke', '--checkpoint', 'no.th'];
  const imported = ['model', 'import', 'tiny.safetensors', '--network', tinyNetwork, '--out', 'o.safetensors'];
  const cases: readonly (readonly [what: string, args: readonly string[], under: readonly string[], line: RegExp])[] = [
    ['stdout on a full device', ['list'], redirected('>/dev/full'), /^dgate: standard output: the disk is full/],
    [
      'the help on a full device',
      ['run', '--help'],
      redirected('>/dev/full'),
      /^dgate: standard output: the disk is full/,
    ],
    ['a dangling link as --cache', [...run, '--cache', 'dangling'], [], /dangling: no such file or folder/],
    ['--results where nothing can be made', [...run, '--results', '/proc/x'], [], /^dgate: \/proc\/x: no such file or/],
    [
      'a working folder that is gone',
      ['list'],
      afterwards('cd gone; rmdir ../gone'),
      /^dgate: the working folder was remo/,
    ],
    [
      'few open files',
      ['list', 'engines'],
      afterwards('ulimit -n 30'),
      /may open no more files|EMFILE: too many open files/,
    ],
    [
      'files of a limited size',
      imported,
      afterwards('ulimit -f 0'),
      /^dgate: o\.safetensors: larger than this process may write/,
    ],
    ['no default export', ['run', './mine.ts'], [], /^dgate: \.\/mine\.ts: its default export is undefined; valid/],
    [
      'little memory',
      ['run', './mine.ts'],
      afterwards('ulimit -v 4000000'),
      /no memory is left for this process|too little memory for its loader: ulimit -v allows 4096000000 bytes/,
    ],
  ];
  for (const [what, args, under, line] of cases) {
    it(what, async function () {
      // The loader of TypeScript sources fails there before dgate begins: only what was built can say it.
      const needsBuild = ['a working folder that is gone', 'few open files', 'little memory'].includes(what);
      // Later Nodes load TypeScript in no worker and read modules one after the other: these limits are not reached.
      const needsNode20 = ['few open files', 'little memory'].includes(what);
      if (process.platform !== 'linux' || (needsBuild && !distIsFresh())) this.skip();
      if (needsNode20 && Number.parseInt(process.versions.node, 10) > 20) this.skip();
      const { status, stderr } = await runCli(args, { cwd: place.folder, under });
      expect(stderr).to.match(line);
      expect(stderr.trimEnd().split('\n'), stderr).to.have.length(1);
      expect(status).to.equal(2);
    });
  }

  it('nothing can be said where stderr is full, too, but the status says it', async function () {
    if (process.platform !== 'linux') this.skip();
    expect((await runCli(['list'], { under: redirected('>/dev/full 2>/dev/full') })).status).to.equal(2);
  });

  it('whatever the error, if the system gave it; a defect of the program is none', () => {
    const error = (message: string, more: object) => Object.assign(new Error(message), more);
    const lines = [
      error('EFBIG: file too large, write', { code: 'EFBIG', syscall: 'write' }),
      error('EWEIRD: odd, open', { code: 'EWEIRD', syscall: 'open', path: 'a\nb' }),
      new RangeError('Array buffer allocation failed'),
      error('ENOENT: no such file or directory, uv_cwd', { code: 'ENOENT', syscall: 'uv_cwd' }),
    ].map((one) => asSystemProblem(one)?.problems);
    expect(lines).to.deep.equal([
      ['write: larger than this process may write: raise the limit (ulimit -f), then run the same command again'],
      ['a\\nb: EWEIRD: odd, open'],
      [
        'no memory is left for this process: raise its limit (ulimit -v), or use a machine with more (Array buffer allocation failed)',
      ],
      ['the working folder was removed; change to another folder (cd)'],
    ]);
    for (const defect of [
      new TypeError('x is not a function'),
      error('bad', { code: 'ERR_INVALID_ARG_TYPE' }),
      'ENOSPC',
    ]) {
      expect(asSystemProblem(defect)).to.equal(undefined);
    }
  });
});

describe('the program that is started', () => {
  const source = new URL('../../bin/dgate.ts', import.meta.url);

  it('can be parsed by every Node since 12.17, which is told the oldest that works: that of package.json', async () => {
    const text = await readFile(source, 'utf8');
    expect(text).not.to.match(/^import |^export .*from|^(const .*= )?await |\?\?|\?\.[A-Za-z[(]/m);
    const [, major, minor] = /oldest = \[(\d+), (\d+)\]/.exec(text)!;
    const { engines } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(engines.node).to.match(new RegExp(`^>=${major}\\.${minor}\\b`));
  });

  it('says so in one line where the Node is older', async () => {
    const old = `Object.defineProperty(process.versions, 'node', { value: '18.20.8' });`;
    const imports = [`data:text/javascript,${encodeURIComponent(old)}`];
    const { status, stdout, stderr } = await runCli(['--version'], { imports });
    expect([status, stdout, stderr]).to.deep.equal([
      2,
      '',
      'dgate: Node 18.20.8 is too old; valid: Node 20.19 or newer\n',
    ]);
  });
});

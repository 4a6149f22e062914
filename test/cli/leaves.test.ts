import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import sharp from 'sharp';
import { filesBelow, tinyNetwork } from '../run/workplace.js';
import { distIsFresh, makePlace, type Place, type Result, runCli, writeTinyExperiment } from './cli.js';

const hasStrace = ((): boolean => {
  try {
    execFileSync('strace', ['-f', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe('outside of its own folders a command leaves nothing and asks nobody', () => {
  let place: Place;
  let definition: string;
  let exported: string;
  let image: string;

  before(async () => {
    place = await makePlace();
    definition = await writeTinyExperiment(place.folder, 'seed: 0');
    exported = join(place.folder, 'gated.onnx');
    image = join(place.folder, 'image.png');
    const create = { width: 32, height: 32, channels: 3, background: '#336699' } as const;
    await sharp({ create }).png().toFile(image);
  });
  after(() => place.remove());

  /** Runs a command whose home and temporary folder are empty. @returns what it left there, and whom it asked */
  async function run(
    args: readonly string[],
    generated: boolean,
  ): Promise<Result & { left: string[]; asked: string[] }> {
    const own = await mkdtemp(join(tmpdir(), 'dgate-leaves-'));
    const [home, temporary, calls] = ['home', 'tmp', 'calls'].map((name) => join(own, name)) as [
      string,
      string,
      string,
    ];
    await Promise.all([home, temporary, calls].map((folder) => mkdir(folder)));
    // What compiles the sources of this project keeps them, as for all tests; a user has what was built.
    const compiled = `tsx-${userInfo().uid}`;
    if (generated) await symlink(join(tmpdir(), compiled), join(temporary, compiled));
    const env = { HOME: home, TMPDIR: temporary, XDG_CACHE_HOME: '' };
    // One file a process, so that no line of one stands in another's.
    const under = ['strace', '-ff', '-e', 'trace=connect,sendto,sendmsg,sendmmsg', '-o', join(calls, 'of')];
    try {
      const result = await runCli(args, { env, generated, ...(hasStrace && { under }) });
      const left = (await Promise.all([home, temporary].map(filesBelow))).flat().filter((name) => name !== compiled);
      const texts = await Promise.all((await readdir(calls)).map((name) => readFile(join(calls, name), 'utf8')));
      const asked = texts.flatMap((text) => text.split('\n').filter((line) => /AF_INET|nscd/.test(line)));
      return { ...result, left, asked };
    } finally {
      await rm(own, { recursive: true, force: true });
    }
  }

  const tiny = (): string => join(place.folder, 'tiny.safetensors');
  const onTiny = ['--network', tinyNetwork];
  const briefly = '--epochs 1 --batch-size 10 --train-images 20 --out'.split(' ');
  const commands: readonly [string, () => readonly string[]][] = [
    ['run', () => ['run', definition]],
    ['time', () => ['time', definition, '--images', '64', '--repeats', '2']],
    ['export', () => ['export', definition, '--margin', '0.05', '--out', exported]],
    ['predict', () => ['predict', '--model', exported, image]],
    ['train', () => ['train', tinyNetwork, ...briefly, join(place.folder, 'trained.safetensors')]],
    ['model eval', () => ['model', 'eval', ...onTiny, '--checkpoint', tiny(), '--limit', '50']],
    ['model info', () => ['model', 'info', tiny()]],
    ['model import', () => ['model', 'import', tiny(), ...onTiny, '--out', join(place.folder, 'imported.safetensors')]],
    ['doctor', () => ['doctor']],
    ['list experiments', () => ['list', 'experiments']],
    ['flops', () => ['flops', tinyNetwork]],
    ['cache list', () => ['cache', 'list']],
    ['cache prune', () => ['cache', 'prune', '--older-than', '30d']],
  ];

  for (const [name, args] of commands) {
    it(`${name}${hasStrace ? '' : ' (whom it asks is not seen: no strace)'}`, async () => {
      const { status, stderr, left, asked } = await run([...args(), ...place.options], true);
      expect(status, stderr).to.equal(0);
      expect(left).to.deep.equal([]);
      expect(asked).to.deep.equal([]);
    });
  }

  it('a definition in TypeScript, compiled on the way in (needs npm run build)', async function () {
    if (!distIsFresh()) this.skip();
    const typed = join(place.folder, 'typed.ts');
    await copyFile(definition, typed);
    const { status, stderr, left } = await run(['run', typed, '--set', 'gates.epochs=-1', ...place.options], false);
    expect(status, stderr).to.equal(2);
    expect(stderr).to.contain('gates.epochs');
    expect(left).to.deep.equal([]);
  });
});

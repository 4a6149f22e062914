import { execFileSync } from 'node:child_process';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { tinyNetwork, writeTinyCheckpoint } from '../run/workplace.js';
import { makePlace, type Place, runCli } from './cli.js';
import { WarmCli } from './warm.js';

/** Every input of every command; `@` is where a pipe, a socket, a device or a folder is put. */
const inputs: readonly (readonly [line: string, only?: readonly string[]])[] = [
  ['run ./@'],
  ['run resnet56 --preset smoke --checkpoint @'],
  ['run ./own.mjs --set network.file=@'],
  ['run ./own.mjs --set dataset.folder=@', ['pipe', 'socket', 'device']],
  ['time ./@'],
  ['check ./@'],
  ['submit ./@ --dry-run'],
  ['export ./@ --out o.onnx'],
  ['predict --model @ x.png'],
  ['model info @'],
  ['model inspect @'],
  [`model import @ --network ${tinyNetwork} --out o.safetensors`],
  [`model import tiny.safetensors --network ${tinyNetwork} --out o.safetensors --held-out @`],
  [`model eval --network ${tinyNetwork} --checkpoint @`],
  ['data fetch cifar10 --from @', ['pipe', 'socket', 'device']],
  ['data fetch imagenet --from @', ['pipe', 'socket', 'device']],
  ['compare @ @'],
  ['task @ extract-0'],
];

describe('what is no file, in the place of any input of any command, is one line at once', () => {
  if (process.platform === 'win32') return;
  let place: Place;
  let socket: Server;
  let warm: WarmCli;
  before(async () => {
    warm = new WarmCli();
    place = await makePlace();
    const at = (name: string): string => join(place.folder, name);
    execFileSync('mkfifo', [at('pipe')]);
    await symlink('/dev/zero', at('device'));
    await mkdir(at('folder'));
    socket = createServer().listen(at('socket'));
    await new Promise((resolve) => socket.once('listening', resolve));
    await writeTinyCheckpoint(at('tiny.safetensors'));
    await writeFile(
      at('own.mjs'),
      "export default { name: 'own', title: 'Own', network: { kind: 'onnx', file: 'x.onnx' }, gates: { after: [1] }, " +
        "dataset: { kind: 'image-folder', folder: 'x', preprocess: 'imagenet' }, thresholds: { margins: [0.01] } };",
    );
  });
  after(async () => {
    warm.close();
    socket.close();
    await rm(place.folder, { recursive: true, force: true });
  });

  for (const [at, [line, kinds = ['pipe', 'socket', 'device', 'folder']]] of inputs.entries()) {
    it(line, async () => {
      for (const kind of kinds) {
        const args = line.split(' ').map((word) => word.replace('@', kind));
        const all = [...args, ...place.options];
        const where = { cwd: place.folder };
        const { status, stdout, stderr } = await (at === 0 ? runCli(all, where) : warm.run(all, where));
        expect([status, stdout], `${kind}: ${stderr}`).to.deep.equal([2, '']);
        expect(stderr, kind).to.match(/^dgate: (?!failed)[^\n]+\n$/);
      }
    });
  }
});

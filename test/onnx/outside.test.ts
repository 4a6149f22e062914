import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import protobuf from 'protobufjs';
import { InputError } from '../../src/errors.js';
import { GraphBuilder } from '../../src/onnx/builder.js';
import { readUserFile } from '../../src/onnx/graph/read.js';

const { root } = protobuf.parse(
  `syntax = "proto2";
  message Model { optional Graph graph = 7; }
  message Graph { repeated Tensor initializer = 5; }
  message Tensor { repeated int64 dims = 1; optional int32 data_type = 2; optional string name = 8;
    repeated Entry external_data = 13; optional int32 data_location = 14; }
  message Entry { optional string key = 1; optional string value = 2; }`,
  { keepCase: true },
);

/** A model with one tensor of two floats, which lies in another file. */
function modelWith(entry: Readonly<Record<string, string>>): Uint8Array {
  const builder = new GraphBuilder('outside');
  builder.output(builder.node('Relu', [builder.input('images', 'float', [2])]), 'float', [2]);
  const external_data = Object.entries(entry).map(([key, value]) => ({ key, value }));
  const tensor = { name: 'w', dims: [2], data_type: 1, data_location: 1, external_data };
  // Messages that follow each other are merged.
  return Buffer.concat([
    builder.encode(),
    root
      .lookupType('Model')
      .encode({ graph: { initializer: [tensor] } })
      .finish(),
  ]);
}

describe('weights outside of an ONNX file', () => {
  if (process.platform === 'win32') return;
  let folder: string;
  let path: string;
  const read = async (entry: Readonly<Record<string, string>>) => {
    await writeFile(path, modelWith(entry));
    return readUserFile(path);
  };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-outside-'));
    await mkdir(join(folder, 'model', 'below'), { recursive: true });
    path = join(folder, 'model', 'm.onnx');
    await writeFile(join(folder, 'secret'), Buffer.alloc(64));
    await writeFile(join(folder, 'model', 'below', 'w'), Buffer.from(Float32Array.of(1, 2, 3).buffer));
    await symlink('../secret', join(folder, 'model', 'link'));
    await symlink('..', join(folder, 'model', 'up'));
    await symlink('/dev/zero', join(folder, 'model', 'zero'));
    execFileSync('mkfifo', [join(folder, 'model', 'pipe')]);
  });
  after(() => rm(folder, { recursive: true }));

  it('are read from its folder', async () => {
    const { model } = await read({ location: 'below/w', offset: '4', length: '8' });
    expect([...new Float32Array(Uint8Array.from(model.graph.initializer[0]!.raw_data!).buffer)]).to.deep.equal([2, 3]);
  });

  const refused: readonly (readonly [what: string, entry: Record<string, string>, message: RegExp])[] = [
    ['a link out of the folder', { location: 'link' }, /weights of w lie in link: leads out of its folder/],
    ['a folder that is a link out of it', { location: 'up/secret' }, /leads out of its folder/],
    ['a path out of it', { location: '../secret' }, /leads out of its folder/],
    ['an absolute path', { location: '/etc/passwd' }, /not a file name/],
    ['a device', { location: 'zero', length: '8' }, /leads out of its folder/],
    ['a pipe', { location: 'pipe', length: '8' }, /pipe: this is a pipe, not a file/],
    ['a folder', { location: 'below' }, /below: this is a folder, not a file/],
    ['nothing', {}, /"": not a file name/],
    ['a file that is not there', { location: 'no' }, /lie in no, which is missing beside it/],
    [
      'more bytes than there are',
      { location: 'below/w', offset: '8', length: '8' },
      /bytes 8 to 16 of below\/w, which has 12/,
    ],
    ['an offset behind the end', { location: 'below/w', offset: '13' }, /bytes 13 to 12 of below\/w/],
    ...['0x4', '4e0', '-4', '', ' 4', '4.0', '18446744073709551616'].flatMap(
      (text): [string, Record<string, string>, RegExp][] => [
        [`offset "${text}"`, { location: 'below/w', offset: text, length: '8' }, /offset .*; valid: whole numbers/],
        [`length "${text}"`, { location: 'below/w', length: text }, /length .*; valid: whole numbers/],
      ],
    ),
  ];
  for (const [what, entry, message] of refused) {
    it(`are refused: ${what}`, async () => {
      const error: unknown = await read(entry).catch((thrown: unknown) => thrown);
      expect(error).to.be.instanceOf(InputError);
      expect((error as InputError).problems).to.have.length(1);
      expect((error as InputError).message).to.match(message);
    });
  }
});

import { deflateSync } from 'node:zlib';

// MATLAB files, level 5.

/** The header of a file, and what follows. */
export const fileOf = (...elements: Buffer[]): Buffer => {
  const head = Buffer.alloc(128, ' ');
  head.write('IM', 126, 'latin1');
  return Buffer.concat([head, ...elements]);
};
/** An element, filled up to a multiple of 8 bytes unless it is compressed. */
export const element = (type: number, data: Buffer): Buffer => {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data, Buffer.alloc(type === 15 ? 0 : (8 - (data.length % 8)) % 8)]);
};
export const matrix = (kind: number, ...content: Buffer[]): Buffer => {
  const flags = element(6, Buffer.from([kind, 0, 0, 0, 0, 0, 0, 0]));
  return element(
    14,
    Buffer.concat([flags, element(5, Buffer.alloc(8)), element(1, Buffer.from('synsets')), ...content]),
  );
};
/** An element, compressed. */
export const compressed = (data: Buffer): Buffer => element(15, deflateSync(data));
export const int = (value: number): Buffer => element(5, Buffer.from(Int32Array.of(value).buffer));
export const struct = (value: Buffer): Buffer => matrix(2, int(1), element(1, Buffer.from('a')), value);

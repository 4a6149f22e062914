/** A BMP of these numbers, bottom row first unless its height is negative; a palette is left out. @param compression 1: run lengths */
export function bmp(width: number, height: number, bits: number, content: Buffer, compression = 0): Buffer {
  const header = Buffer.alloc(54);
  header.write('BM');
  for (const [at, value] of [
    [10, 54],
    [14, 40],
    [18, width],
    [22, height],
    [30, compression],
  ] as const)
    header.writeInt32LE(value, at);
  header.set([1, 0, bits, 0], 26);
  return Buffer.concat([header, content]);
}

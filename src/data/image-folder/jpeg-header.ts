/** A JPEG's frame header. */
export interface JpegHeader {
  /** In pixels. */
  readonly width: number;
  readonly height: number;
  /** Of colour: 1 grey, 3 colour, 4 CMYK. */
  readonly components: number;
  /** Bits of a sample. */
  readonly precision: number;
  /** One scan after the other, coded by Huffman; not progressive, lossless or arithmetic. */
  readonly baseline: boolean;
}

/** Start of frame: baseline, extended, progressive and so on; C4, C8 and CC are other segments. */
const isFrame = (marker: number): boolean =>
  marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;

/**
 * Reads a JPEG's frame header (ITU T.81, B.2.2), which spares opening every file twice.
 *
 * @returns undefined if it is not a JPEG, or its header is misplaced
 */
export function jpegHeader(bytes: Uint8Array): JpegHeader | undefined {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return undefined;
  for (let at = 2; at + 9 < bytes.length; ) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at++; // fill byte
      continue;
    }
    const word = (offset: number): number => (bytes[at + offset]! << 8) | bytes[at + offset + 1]!;
    if (isFrame(marker)) {
      const [precision, components] = [bytes[at + 4]!, bytes[at + 9]!];
      return { height: word(5), width: word(7), components, precision, baseline: marker === 0xc0 || marker === 0xc1 };
    }
    if (marker === 0xd9 || marker === 0xda) return undefined; // the picture itself, and no frame yet
    at += 2 + word(2);
  }
  return undefined;
}

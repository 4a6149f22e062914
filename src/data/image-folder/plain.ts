import type { Pixels } from '../resample.js';

/** A picture that libvips does not read. */
interface PlainPicture {
  readonly width: number;
  readonly height: number;
  /** @throws Error if it is damaged */
  readonly read: () => Promise<Pixels>;
}

/** A BMP, or a binary PPM or PGM of 8 bits; undefined of other files. @throws Error if it has more bits */
export function plainPicture({ buffer, byteOffset, length }: Uint8Array): PlainPicture | undefined {
  const bytes = Buffer.from(buffer, byteOffset, length);
  return bmp(bytes) ?? pnm(bytes);
}

function bmp(bytes: Buffer): PlainPicture | undefined {
  if (bytes.length < 26 || bytes.toString('latin1', 0, 2) !== 'BM') return undefined;
  const isOld = bytes.readUInt32LE(14) === 12; // OS/2's header
  const width = isOld ? bytes.readUInt16LE(18) : bytes.readUInt32LE(18);
  const height = isOld ? bytes.readUInt16LE(20) : Math.abs(bytes.readInt32LE(22)); // negative: the top row first
  const read = async (): Promise<Pixels> => {
    const { Transformer } = await import('@napi-rs/image');
    const data = await new Transformer(bytes).rawPixels();
    return { data, width, height, channels: data.length / (width * height) };
  };
  return { width, height, read };
}

/** Between the numbers of a header. */
const blank = '(?:\\s|#[^\\n]*\\n)+';
/** Width, height and largest value. */
const pnmHeader = new RegExp(`^P([56])${blank}(\\d{1,9})${blank}(\\d{1,9})${blank}(\\d{1,9})\\s`);

function pnm(bytes: Buffer): PlainPicture | undefined {
  const found = pnmHeader.exec(bytes.toString('latin1', 0, 1000));
  if (found === null) return undefined;
  const [kind, width, height, most] = found.slice(1).map(Number) as [number, number, number, number];
  if (most !== 255) throw new Error(`values up to ${most}; valid: 255`);
  const channels = kind === 6 ? 3 : 1;
  const data = bytes.subarray(found[0].length).subarray(0, width * height * channels);
  if (data.length < width * height * channels) throw new Error('truncated');
  return { width, height, read: () => Promise.resolve({ data, width, height, channels }) };
}

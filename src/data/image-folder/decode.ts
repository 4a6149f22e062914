import type { Sharp } from 'sharp';
import { messageOf } from '../../errors.js';
import { channelsIn, type Geometry, type Placement, placementOf } from '../preprocess.js';
import { type Pixels, resample } from '../resample.js';
import { FORMATS } from './listing.js';
import { plainPicture } from './plain.js';

/** First bytes of the accepted formats. libvips accepts more than is safe: rendering an SVG, for example, takes any time. */
const beginnings = ['\xff\xd8\xff', '\x89PNG\r\n', 'RIFF', 'II*\0', 'MM\0*', 'II+\0', 'MM\0+', 'GIF87a', 'GIF89a'];

/** A file of some kB can expand to gigabytes. 50 megapixels of a format that is decoded as a whole need up to 400 MB. */
const limits = { pixels: 50_400_000, side: 65_535 };

/** Properties that determine how an image is decoded. */
interface Kind {
  readonly width: number;
  readonly height: number;
  readonly isCmyk: boolean;
  readonly hasAlpha: boolean;
  /** Whether {@link resizeJpeg} may decode it. */
  readonly isOrdinaryJpeg?: boolean;
  /** Whether it is a TIFF to be turned; PIL turns no other format. */
  readonly isTurned?: boolean;
  /** Its pixels, if libvips does not read the format. */
  readonly read?: () => Promise<Pixels>;
}

/**
 * Decodes an image file as torchvision's loader does (`PIL.Image.open(path).convert('RGB')`, `Resize`, `CenterCrop`). The
 * content decides, not the name. Ignores EXIF orientation (except a TIFF's) and colour profiles, repeats grey, drops alpha, converts CMYK by
 * PIL's formula; a truncated file is an error.
 *
 * @napi-rs/image decodes and resizes ordinary JPEGs, libvips other images that shrink; both differ from PIL by 0.2 of 255 on
 * average. `resample`, bit for bit as PIL, resizes images that grow (libvips would shift them by half a pixel), CMYK, and
 * images with transparency (libvips would weight colours by it).
 *
 * @param into takes the result if given
 * @returns (3, crop, crop) bytes; (1, crop, crop) of grey, by PIL's formula of `convert('L')`
 * @throws Error if it cannot be decoded
 */
export async function decodeImage(
  file: Uint8Array,
  geometry: Geometry,
  into: Uint8Array = new Uint8Array(channelsIn(geometry) * geometry.crop ** 2),
): Promise<Uint8Array> {
  const bytes = withoutExtras(file);
  const kind = await kindOf(bytes);
  const to = placementOf(kind.width, kind.height, geometry);
  // A failure here is no verdict: libvips decides.
  const fast = kind.isOrdinaryJpeg ? await resizeJpeg(bytes, to, geometry).catch(() => undefined) : undefined;
  channelsFirst(fast ?? (await resized(bytes, kind, to, geometry)), geometry.order, into);
  return into;
}

/** Resizes and crops with libvips if that is close enough to PIL. */
async function resized(bytes: Uint8Array, kind: Kind, to: Placement, geometry: Geometry): Promise<Pixels> {
  const { width, height, left, top } = to;
  const { crop, interpolation } = geometry;
  if (kind.read !== undefined) return resample(await kind.read(), to, geometry);
  const image = kind.isTurned ? (await open(bytes)).autoOrient() : await open(bytes);
  const shrinks = width <= kind.width && height <= kind.height;
  if (!shrinks || kind.isCmyk || kind.hasAlpha) return resample(await wholeImage(image, kind), to, geometry);
  const kernel = interpolation === 'bilinear' ? 'linear' : 'cubic';
  const small = image.resize({ width, height, fit: 'fill', kernel, fastShrinkOnLoad: false });
  return pixelsOf(small.extract({ left, top, width: crop, height: crop }));
}

/** Size of an image file's content in pixels. @throws Error if it is not an image */
export async function imageSize(bytes: Uint8Array): Promise<{ readonly width: number; readonly height: number }> {
  const { width, height } = await kindOf(withoutExtras(bytes));
  return { width, height };
}

async function kindOf(bytes: Uint8Array): Promise<Kind> {
  const plain = plainPicture(bytes);
  if (plain !== undefined) return inLimits({ ...plain, isCmyk: false, hasAlpha: false });
  const beginning = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 8)).toString('latin1');
  if (!beginnings.some((known) => beginning.startsWith(known))) {
    throw new Error(`not a ${FORMATS} file`);
  }
  const jpeg = jpegHeader(bytes);
  if (jpeg !== undefined && jpeg.width > 0 && jpeg.height > 0 && jpeg.components < 4) {
    const { width, height } = jpeg;
    return { width, height, isCmyk: false, hasAlpha: false, isOrdinaryJpeg: isOrdinary(bytes, jpeg) };
  }
  const { space, hasAlpha, format, orientation = 1, ...given } = await reasoned((await open(bytes)).metadata());
  const isTurned = format === 'tiff' && orientation > 1;
  const { width, height } = isTurned ? given.autoOrient : given;
  return inLimits({ width, height, isCmyk: space === 'cmyk', hasAlpha, isTurned });
}

function inLimits(kind: Kind): Kind {
  const { width, height } = kind;
  if (Math.max(width, height) <= limits.side && width * height <= limits.pixels) return kind;
  throw new Error(`${width} x ${height} pixels; valid: at most ${limits.side} on a side, ${limits.pixels} in all`);
}

let libvips: Promise<typeof import('sharp')> | undefined;

async function open(bytes: Uint8Array): Promise<Sharp> {
  libvips ??= import('sharp').then((loaded) => {
    loaded.default.cache(false); // no image is asked for twice, and memory must not grow
    return loaded;
  });
  const { default: sharp } = await libvips;
  // PIL refuses what failOn 'error' refuses, and accepts bytes between segments, which some files of ImageNet have.
  return sharp(bytes, { ignoreIcc: true, failOn: 'error', limitInputPixels: limits.pixels });
}

async function wholeImage(image: Sharp, { isCmyk }: Kind): Promise<Pixels> {
  if (!isCmyk) return pixelsOf(image.removeAlpha());
  return fromCmyk(await pixelsOf(image.pipelineColourspace('cmyk').toColourspace('cmyk')));
}

async function pixelsOf(image: Sharp): Promise<Pixels> {
  const { data, info } = await reasoned(image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true }));
  return { data, width: info.width, height: info.height, channels: info.channels };
}

/** PIL's conversion (Convert.c, cmyk2rgb): r = (255 - k) - c (255 - k) / 255. */
function fromCmyk({ data, width, height, channels }: Pixels): Pixels {
  if (channels !== 4) throw new Error(`${channels} channels of CMYK`);
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0, to = 0; i < data.length; i += 4) {
    const light = 255 - data[i + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = data[i + c]! * light + 128;
      rgb[to++] = Math.max(0, light - (((product >> 8) + product) >> 8));
    }
  }
  return { data: rgb, width, height, channels: 3 };
}

const littleEndian = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** (height, width, channels) to (3, height, width), or (1, height, width) of grey; a grey image is repeated. */
function channelsFirst({ data, width, height, channels }: Pixels, order: Geometry['order'], into: Uint8Array): void {
  const size = width * height;
  if (order === 'grey') {
    for (let i = 0, at = 0; i < size; i++, at += channels) {
      const [red, green, blue] = channels < 3 ? [at, at, at] : [at, at + 1, at + 2];
      into[i] = (19595 * data[red]! + 38470 * data[green]! + 7471 * data[blue]! + 32768) >> 16;
    }
    return;
  }
  const [second, third] = channels < 3 ? [0, 0] : [1, 2];
  const [red, blue] = order === 'rgb' ? [0, third] : [third, 0];
  if (channels === 4 && data.byteOffset % 4 === 0 && littleEndian) {
    // Whole pixels: three times as fast as bytes.
    const pixels = new Uint32Array(data.buffer, data.byteOffset, size);
    for (let i = 0; i < size; i++) {
      const pixel = pixels[i]!;
      into[i] = pixel >>> (8 * red);
      into[size + i] = pixel >>> 8;
      into[2 * size + i] = pixel >>> (8 * blue);
    }
    return;
  }
  for (let i = 0, at = 0; i < size; i++, at += channels) {
    into[i] = data[at + red]!;
    into[size + i] = data[at + second]!;
    into[2 * size + i] = data[at + blue]!;
  }
}

/**
 * Gives libvips' errors a reason. Its threads share one error text: if several images fail at once, it can be empty ("Unknown
 * error") or end with lines of the others.
 */
async function reasoned<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const reason = messageOf(error).split('\n')[0]!;
    throw new Error(reason === 'Unknown error' ? 'damaged or truncated' : reason, { cause: error });
  }
}

interface JpegHeader {
  readonly width: number;
  readonly height: number;
  /** 1 grey, 3 colour, 4 CMYK. */
  readonly components: number;
  /** Bits per sample. */
  readonly precision: number;
  /** Sequential and Huffman-coded; not progressive, lossless or arithmetic. */
  readonly baseline: boolean;
}

/** Start of frame: baseline, extended, progressive and so on; C4, C8 and CC are other segments. */
const isFrame = (marker: number): boolean => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);

/**
 * Reads a JPEG's frame header (ITU T.81, B.2.2), so that libvips need not open the file first.
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
      return { height: word(5), width: word(7), components, precision, baseline: marker <= 0xc1 };
    }
    if (marker === 0xd9 || marker === 0xda) return undefined; // the picture without a frame
    at += 2 + word(2);
  }
  return undefined;
}

/** Larger images are decoded by libvips, in parts: the fast decoder needs 4 bytes a pixel. */
const MOST_PIXELS = 16_000_000;

/** Whether {@link resizeJpeg} may decode this file. It would pad a truncated one, so the end-of-image marker must be there. */
export function isOrdinary(bytes: Uint8Array, header: JpegHeader): boolean {
  const { width, height, baseline, components, precision } = header;
  const ends = bytes.at(-2) === 0xff && bytes.at(-1) === 0xd9;
  return ends && width * height <= MOST_PIXELS && baseline && precision === 8 && (components === 1 || components === 3);
}

let napi: Promise<typeof import('@napi-rs/image')> | undefined;

/**
 * Decodes and resizes a JPEG in a thread of libuv, in half of libvips' time.
 *
 * @returns (crop, crop, 3 or 4) bytes
 * @throws Error if the decoder does not support the file
 */
async function resizeJpeg(bytes: Uint8Array, to: Placement, { crop, interpolation }: Geometry): Promise<Pixels> {
  napi ??= import('@napi-rs/image');
  const { FastResizeFilter, ResizeFit, Transformer } = await napi;
  // PIL's bicubic filter has a = -0.5, as Catmull-Rom.
  const filter = interpolation === 'bilinear' ? FastResizeFilter.Bilinear : FastResizeFilter.CatmullRom;
  const data = await new Transformer(bytes)
    .fastResize({ width: to.width, height: to.height, filter, fit: ResizeFit.Fill })
    .crop(to.left, to.top, crop, crop)
    .rawPixels();
  const channels = data.length / (crop * crop);
  if (channels !== 3 && channels !== 4) throw new Error(`${data.length} bytes for ${crop} x ${crop} pixels`);
  return { data, width: crop, height: crop, channels };
}

const PNG_SIGNATURE = '\x89PNG\r\n\x1a\n';
/** Bytes of a PNG chunk's length, type and checksum. */
const CHUNK_FRAME = 12;

/** Whether the picture depends on a chunk: critical ones (a capital first) and transparency. */
const isPicture = (type: string): boolean => /^[A-Z]/.test(type) || type === 'tRNS';

/**
 * A PNG without the chunks that do not affect its picture; other files unchanged. Decoders inflate texts and profiles without
 * limit: 2 MB of `zTXt` take half a minute and 8 GB.
 */
export function withoutExtras(file: Uint8Array): Uint8Array {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.toString('latin1', 0, PNG_SIGNATURE.length) !== PNG_SIGNATURE) return file;
  let kept: Buffer | undefined;
  let [from, size] = [0, 0];
  const keepUpTo = (end: number): void => {
    kept ??= Buffer.allocUnsafeSlow(bytes.length);
    size += bytes.copy(kept, size, from, end);
  };
  for (let at = PNG_SIGNATURE.length; at + CHUNK_FRAME <= bytes.length; ) {
    const end = at + CHUNK_FRAME + bytes.readUInt32BE(at);
    if (end > bytes.length) break; // truncated; the decoder reports it
    if (!isPicture(bytes.toString('latin1', at + 4, at + 8))) {
      keepUpTo(at);
      from = end;
    }
    at = end;
  }
  if (from === 0) return file;
  keepUpTo(bytes.length);
  return kept!.subarray(0, size);
}

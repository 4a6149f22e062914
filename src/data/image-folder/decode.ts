import type { Sharp } from 'sharp';
import { messageOf } from '../../errors.js';
import { withoutExtras } from '../png.js';
import { isOrdinary, type JpegHeader, jpegHeader, resizeJpeg } from './fast-jpeg.js';
import { channelsIn, type Geometry, type Placement, placementOf } from './geometry.js';
import { type Pixels, resample } from './resample.js';

/**
 * First bytes of the accepted formats. The content decides the format, not the name, and libvips accepts more formats than are
 * safe: SVG, for example, runs a renderer on a text of any length.
 */
const beginnings = ['\xff\xd8\xff', '\x89PNG\r\n', 'RIFF', 'II*\0', 'MM\0*', 'GIF87a', 'GIF89a'];

/**
 * Limits on an image: a file of some kB can expand to gigabytes. With 50 megapixels, formats that are decoded as a whole
 * (progressive JPEG, interlaced PNG, WebP) need up to 400 MB.
 */
const limits = { pixels: 50_400_000, side: 65_535 };

/** Properties that determine how an image is decoded. */
interface Kind {
  readonly width: number;
  readonly height: number;
  readonly isCmyk: boolean;
  readonly hasAlpha: boolean;
  /** Header of a JPEG that most decoders decode alike. */
  readonly jpeg?: JpegHeader;
}

/**
 * Decodes the content of an image file as torchvision's loader does (`PIL.Image.open(path).convert('RGB')`, `Resize`, `CenterCrop`): the
 * content decides, not the name; the orientation in EXIF and colour profiles are ignored; grey is repeated, alpha
 * dropped, CMYK turned to RGB by PIL's formula; a truncated file is an error.
 *
 * Ordinary JPEGs are decoded and resized by `fast-jpeg.ts`, other images that shrink by libvips; both differ from PIL by
 * 0.2 of 255 on average. Those that grow (libvips would shift them by half a pixel), CMYK, and images with transparency
 * (libvips would weigh colours by it) are resized by `resample.ts`, bit for bit as PIL does it. Whether a file is whole is
 * always for libvips' reader to say: what is unusual, or what the fast decoder does not understand, goes to it. All work
 * on pixels of the first two kinds happens in libuv's threads.
 *
 * @param into takes the result where given
 * @returns (3, crop, crop) bytes; (1, crop, crop) of grey, by PIL's formula of `convert('L')`
 * @throws Error where it cannot be decoded
 */
export async function decodeImage(
  file: Uint8Array,
  geometry: Geometry,
  into: Uint8Array = new Uint8Array(channelsIn(geometry) * geometry.crop ** 2),
): Promise<Uint8Array> {
  const bytes = withoutExtras(file);
  const kind = await kindOf(bytes);
  const to = placementOf(kind.width, kind.height, geometry);
  const isFast = kind.jpeg !== undefined && isOrdinary(bytes, kind.jpeg);
  const fast = isFast ? await resizeJpeg(bytes, to, geometry).catch(() => undefined) : undefined;
  channelsFirst(fast ?? (await resized(bytes, kind, to, geometry)), geometry.order, into);
  return into;
}

/** Resizes and crops with libvips if that is close enough to PIL. */
async function resized(bytes: Uint8Array, kind: Kind, to: Placement, geometry: Geometry): Promise<Pixels> {
  const shrinks = to.width <= kind.width && to.height <= kind.height;
  return shrinks && !kind.isCmyk && !kind.hasAlpha
    ? await shrink(await open(bytes), to, geometry)
    : resample(await wholeImage(await open(bytes), kind), to, geometry);
}

/** Size of an image file's content in pixels. @throws Error if it is not an image */
export async function imageSize(bytes: Uint8Array): Promise<{ readonly width: number; readonly height: number }> {
  const { width, height } = await kindOf(withoutExtras(bytes));
  return { width, height };
}

async function kindOf(bytes: Uint8Array): Promise<Kind> {
  const beginning = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 8)).toString('latin1');
  if (!beginnings.some((known) => beginning.startsWith(known)))
    throw new Error('not a JPEG, PNG, WebP, TIFF or GIF file');
  const jpeg = jpegHeader(bytes);
  const isPlain = jpeg !== undefined && jpeg.width > 0 && jpeg.height > 0 && jpeg.components < 4;
  if (isPlain) return { width: jpeg.width, height: jpeg.height, isCmyk: false, hasAlpha: false, jpeg };
  const { width, height, space, hasAlpha } = await reasoned((await open(bytes)).metadata());
  if (Math.max(width, height) > limits.side) {
    throw new Error(`${width} x ${height} pixels; valid: at most ${limits.side} on a side`);
  }
  return { width, height, isCmyk: space === 'cmyk', hasAlpha };
}

/** Loaded with the first image: a run with everything in the cache decodes none. */
let library: Promise<typeof import('sharp')> | undefined;

async function open(bytes: Uint8Array): Promise<Sharp> {
  library ??= import('sharp').then((loaded) => {
    loaded.default.cache(false); // no image is asked for twice, and memory must not grow
    return loaded;
  });
  const { default: sharp } = await library;
  // failOn 'error': what PIL refuses; bytes between segments, which some files of ImageNet have, are only a warning.
  return sharp(bytes, { ignoreIcc: true, failOn: 'error', limitInputPixels: limits.pixels });
}

async function shrink(image: Sharp, to: Placement, { crop, interpolation }: Geometry): Promise<Pixels> {
  const { width, height, left, top } = to;
  const kernel = interpolation === 'bilinear' ? 'linear' : 'cubic';
  return pixelsOf(
    image
      .resize({ width, height, fit: 'fill', kernel, fastShrinkOnLoad: false })
      .extract({ left, top, width: crop, height: crop }),
  );
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

/** (height, width, channels) to (3, height, width); a grey image is repeated. */
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
    // A pixel at a time: a third of the time of three bytes.
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
 * The work of libvips, with a reason where it fails. Its threads share one text of errors: where several images fail at
 * once it can be gone ("Unknown error"), or hold lines of the others behind the first.
 */
async function reasoned<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const reason = messageOf(error).split('\n')[0]!;
    throw new Error(reason === 'Unknown error' ? 'damaged or truncated' : reason, { cause: error });
  }
}

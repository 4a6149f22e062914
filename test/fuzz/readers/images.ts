import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import sharp from 'sharp';
import { decodeImage, jpegHeader } from '../../../src/data/image-folder/decode.js';
import { FileList } from '../../../src/data/image-folder/listing.js';
import { folderSource } from '../../../src/data/image-folder/source.js';
import type { Reader } from '../fuzz.js';
import { mutated } from '../mutation.js';
import { withRightChecksums } from '../png.js';
import { scratchFolder } from '../scratch.js';

const geometry = { resize: 32, crop: 28, interpolation: 'bilinear', squash: false, order: 'rgb' } as const;
const fixtures = fileURLToPath(new URL('../../fixtures/images/', import.meta.url));

async function images(kind: RegExp): Promise<Buffer[]> {
  const names = (await readdir(fixtures)).filter((name) => kind.test(name));
  return (await Promise.all(names.map((name) => readFile(join(fixtures, name))))).filter((bytes) => bytes.length > 0);
}

const words = [
  ...[
    '\xff\xd8',
    '\xff\xc0',
    '\xff\xc2',
    '\xff\xda',
    '\xff\xd9',
    '\xff\xdb',
    '\xff\xee',
    'Adobe',
    '\xff\xe1',
    'Exif\x00\x00',
    '\xff\xff',
  ],
  ...[
    'IHDR',
    'IDAT',
    'PLTE',
    'tRNS',
    'GIF89a',
    'RIFF',
    'WEBPVP8X',
    'II*\x00',
    'MM\x00*',
    '<svg xmlns="http://www.w3.org/2000/svg">',
    'ftypavif',
  ],
];

/** Decoding must give an image of the asked size, or an Error of libvips or dgate; never a defect's TypeError. */
async function decoded(bytes: Uint8Array): Promise<void> {
  jpegHeader(bytes);
  const pixels = await decodeImage(bytes, geometry);
  if (pixels.length !== 3 * 28 * 28) throw new TypeError(`${pixels.length} bytes`);
}
const refuses = (error: unknown): boolean => error instanceof Error && error.constructor === Error;

export const imageReaders: readonly Reader[] = [
  {
    name: 'images, JPEG',
    inputs: 8000,
    input: async () =>
      mutated(
        (await images(/jpg$/)).filter((bytes) => bytes[0] === 0xff),
        words,
      ),
    read: decoded,
    refuses,
  },
  {
    name: 'images, PNG',
    inputs: 6000,
    input: async () => mutated(await images(/png/), words).map(withRightChecksums),
    read: decoded,
    refuses,
  },
  {
    name: 'images, other formats',
    inputs: 4000,
    async input() {
      const source = sharp(await readFile(join(fixtures, 'colour.jpg'))).resize(40, 30);
      const forms = (['webp', 'gif', 'tiff', 'avif'] as const).map((form) => source.clone().toFormat(form).toBuffer());
      const svg = Buffer.from(
        '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="9" height="9"/></svg>',
      );
      return mutated([...(await Promise.all(forms)), svg], words);
    },
    read: decoded,
    refuses,
  },
  {
    name: 'images in a folder',
    inputs: 2000,
    input: async () => fc.tuple(mutated(await images(/./), words), fc.constantFrom(-1, 0, 1)),
    read: (() => {
      const folder = scratchFolder();
      return async ([bytes, more]: [Uint8Array, number]) => {
        await writeFile(join(folder, 'x.jpg'), bytes);
        const size = Math.max(0, bytes.length + more);
        const list = FileList.of(folder, [{ path: 'x.jpg', label: 0, bytes: size }]);
        const source = folderSource(list, ['a', 'b'], geometry);
        const pixels = await source.batch(Int32Array.of(0));
        const why = source.unreadable?.get(0);
        if (why !== undefined && pixels.some((byte) => byte !== 0)) throw new Error('half an image was taken');
      };
    })(),
  },
];

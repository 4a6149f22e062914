import { zipOf } from '../fuzz/zip.js';

/** Parts of pickles, as latin1 text: an integer, a text, a float storage, a tensor. */
export const int = (value: number): string => `J${Buffer.from(Int32Array.of(value).buffer).toString('latin1')}`;
export const text = (value: string): string =>
  `X${Buffer.from(Int32Array.of(value.length).buffer).toString('latin1')}${value}`;
export const storage = (count: number, key = '0'): string =>
  `(${text('storage')}ctorch\nFloatStorage\n${text(key)}${text('cpu')}${int(count)}tQ`;
/** @param rest what stands behind the strides */
export const tensor = (of: string, shape: string, stride: string, rest = '\x89}'): string =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${of}K\x00(${shape}t(${stride}t${rest}tR`;

/** A legacy file whose object is this pickle, without storages. */
export const legacyFile = (pickle: string): Buffer => {
  const head = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.';
  return Buffer.from(`${head}\x80\x02${pickle}\x80\x02].`, 'latin1');
};

/** A zip file of this pickle and one storage. */
export const zipFile = (pickle: string, data: Uint8Array): Buffer =>
  zipOf([
    { name: 'x/data.pkl', data: Buffer.from(pickle, 'latin1') },
    { name: 'x/data/0', data },
  ]);

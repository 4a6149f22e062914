/** What every PNG begins with. */
const SIGNATURE = '\x89PNG\r\n\x1a\n';
/** Length, type and checksum of a chunk in bytes. */
const FRAME = 12;

/** Whether the picture depends on a chunk: those that the format calls critical (a capital first), and transparency. */
const isPicture = (type: string): boolean => /^[A-Z]/.test(type) || type === 'tRNS';

/**
 * A PNG without chunks that are no part of its picture; any other file as it is. Decoders inflate texts and profiles without a
 * limit: 2 MB of `zTXt` take half a minute and 8 GB.
 */
export function withoutExtras(file: Uint8Array): Uint8Array {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.toString('latin1', 0, SIGNATURE.length) !== SIGNATURE) return file;
  let kept: Buffer | undefined;
  let [from, size] = [0, 0];
  const keepUpTo = (end: number): void => {
    kept ??= Buffer.allocUnsafeSlow(bytes.length);
    size += bytes.copy(kept, size, from, end);
  };
  for (let at = SIGNATURE.length; at + FRAME <= bytes.length; ) {
    const end = at + FRAME + bytes.readUInt32BE(at);
    if (end > bytes.length) break; // cut off, as the decoder will find
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

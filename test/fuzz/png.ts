import { crc32 } from 'node:zlib';

const SIGNATURE = 8;

/** The same PNG with the checksum of every chunk set right, as far as chunks can be found: damage gets past the door. */
export function withRightChecksums(png: Uint8Array): Uint8Array {
  const copy = Buffer.from(png);
  for (let at = SIGNATURE; at + 12 <= copy.length; ) {
    const length = copy.readUInt32BE(at);
    const end = at + 8 + length;
    if (end + 4 > copy.length) break;
    copy.writeUInt32BE(crc32(copy.subarray(at + 4, end)), end);
    at = end + 4;
  }
  return copy;
}

/** A chunk with its checksum. */
export function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}

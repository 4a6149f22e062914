// ONNX files, field by field.

/** A field of bytes, as protocol buffers have it. */
export const field = (number: number, data: Uint8Array | string): Buffer => {
  const bytes = Buffer.from(data);
  const head: number[] = [(number << 3) | 2];
  for (let rest = bytes.length; ; rest >>>= 7) {
    head.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  return Buffer.concat([Buffer.from(head), bytes]);
};
export const GRAPH = 7;
export const [NODE, INITIALIZER] = [1, 5];
export const graphOf = (...parts: Buffer[]): Buffer => field(GRAPH, Buffer.concat(parts));

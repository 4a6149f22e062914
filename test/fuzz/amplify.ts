import fc from 'fast-check';

/** Longest of what is made, in bytes: a few of these are read in a second. */
const MOST = 600_000;

/** What opens, and what closes it: brackets, MARK and TUPLE of pickles, a chunk of protocol buffer that holds all that follows. */
const pairs: readonly (readonly [string, string])[] = [
  ['[', ']'],
  ['{', '}'],
  ['(', ')'],
  ['{"a":', '}'],
  ['(', 't'],
  [']', 'a'],
];

/** What is repeated where the file itself is not: items of a byte or two, in JSON, CSV, tables, pickles and archives. */
const items = [
  ...[
    '0,',
    '[],',
    '{},',
    '"",',
    '"a":0,',
    '"a":[],',
    '\n',
    '\r',
    ',',
    ', ',
    '"',
    '""',
    '\\',
    '\\u0061',
    ' ',
    '\t',
    '\0',
  ],
  ...[
    'a\n',
    'a,b\n',
    '1 2 a\n',
    'a=1 ',
    '.a',
    '0=',
    '((',
    '\xff',
    '\x80',
    '\xe2\x80\xae',
    '\u001b[2J',
    '__proto__',
    '-',
    '9',
  ],
] as const;

/** One way to make much of little; places and lengths are taken modulo what is there. */
const way = fc.record({
  kind: fc.constantFrom('slice', 'slice', 'item', 'double', 'nest', 'counted'),
  at: fc.nat(),
  length: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.constantFrom(128, 512, 1024, 4096), fc.nat(20_000)),
  item: fc.constantFrom(...items),
  pair: fc.constantFrom(...pairs),
  /** Of the largest number of times, on a scale of logarithms. */
  share: fc.integer({ min: 200, max: 1000 }),
});
type Way = typeof way extends fc.Arbitrary<infer T> ? T : never;

function made(bytes: Buffer, { kind, at: place, length, item, pair, share }: Way): Buffer {
  const at = bytes.length === 0 ? 0 : place % bytes.length;
  const room = Math.max(1, MOST - bytes.length);
  const times = (size: number): number => Math.floor((room / Math.max(1, size)) ** (share / 1000));
  const with_ = (middle: Buffer): Buffer => Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(at)]);
  const repeated = (part: Buffer): Buffer => Buffer.alloc(part.length * times(part.length), part);
  switch (kind) {
    case 'slice': {
      const part = Buffer.from(bytes.subarray(at, at + length));
      return part.length === 0 ? bytes : with_(repeated(part));
    }
    case 'item':
      return with_(repeated(Buffer.from(item, 'latin1')));
    case 'counted': {
      // The same with a number that grows: names that differ.
      const count = times(item.length + 6);
      return with_(Buffer.from(Array.from({ length: count }, (_, i) => `${item}${i}`).join(''), 'latin1'));
    }
    case 'double': {
      let whole = bytes;
      while (whole.length > 0 && whole.length * 2 <= MOST) whole = Buffer.concat([whole, whole]);
      return whole;
    }
    case 'nest': {
      const count = times(pair[0].length + pair[1].length);
      return Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from(pair[0].repeat(count), 'latin1'),
        bytes.subarray(at, at + 1),
        Buffer.from(pair[1].repeat(count), 'latin1'),
        bytes.subarray(at + 1),
      ]);
    }
  }
}

/** The files and texts in an input, made large in one or two ways; of several things side by side the last of that kind. */
function amplifiedIn(value: unknown, ways: readonly Way[]): unknown {
  if (typeof value === 'string') return ways.reduce(made, Buffer.from(value)).toString();
  if (value instanceof Uint8Array) return Uint8Array.from(ways.reduce(made, Buffer.from(value)));
  if (Array.isArray(value)) {
    const last = value.findLastIndex((each: unknown) => typeof each === 'string' || typeof each === 'object');
    return value.map((each: unknown, i) => (i === last ? amplifiedIn(each, ways) : each));
  }
  if (value instanceof Map) return new Map([...value].map(([name, each]) => [name, amplifiedIn(each, ways)]));
  return value;
}

/** What a reader is given, made large: a slice, an item or the whole again and again, or nested as deep as it goes. */
export function amplified(inputs: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc
    .tuple(inputs, fc.array(way, { minLength: 1, maxLength: 2 }))
    .map(([input, ways]) => amplifiedIn(input, ways));
}

/** A number on a scale of logarithms, so that few, some hundred and very many are equally likely. */
export const upTo = (most: number): fc.Arbitrary<number> =>
  fc.integer({ min: 0, max: 1000 }).map((share) => Math.floor(most ** (share / 1000)));

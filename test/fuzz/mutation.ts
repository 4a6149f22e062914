import fc from 'fast-check';

/** One change of bytes. `at` and other places are taken modulo the length, so that every number means something. */
export type Edit =
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | {
      readonly kind: 'number';
      readonly at: number;
      readonly value: bigint;
      readonly width: number;
      readonly big: boolean;
    }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'remove'; readonly at: number; readonly length: number }
  | { readonly kind: 'repeat'; readonly at: number; readonly length: number; readonly times: number }
  | { readonly kind: 'move'; readonly at: number; readonly length: number; readonly to: number }
  | { readonly kind: 'digits'; readonly at: number; readonly text: string }
  | { readonly kind: 'cut'; readonly at: number };

/** Numbers at the borders of what sizes, counts and offsets may be. */
const borders = [
  ...[0n, 1n, 2n, 3n, 7n, 8n, 16n, 64n, 127n, 128n, 255n, 256n, 1000n, 4096n, 65_535n, 65_536n],
  ...[2n ** 24n, 2n ** 28n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 40n, 2n ** 53n, 2n ** 60n, 2n ** 63n - 1n],
  ...[2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 8n, 2n ** 64n - 65_536n],
];
const digitTexts = [
  ...[
    '0',
    '-1',
    '1e999',
    '-0',
    '0.5',
    '1e-320',
    '9007199254740993',
    '18446744073709551616',
    '4294967295',
    '2147483648',
  ],
  ...['null', 'true', '"x"', '[]', '{}', 'NaN', '', '00', '1e400', '99999999', '1152921504606846976'],
];

/** Places: headers at the front and lists at the end of a file decide most. */
const place = fc.oneof(
  fc.nat(63),
  fc.nat(0xffff),
  fc.nat(0xff_ffff),
  fc.nat(63).map((back) => -1 - back),
);
const length = fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 4096 }));

/** Changes of a file; `words` are texts and opcodes that mean something in its format. */
function edits(words: readonly (string | Uint8Array)[]): fc.Arbitrary<Edit> {
  const known = words.map((word) => (typeof word === 'string' ? Buffer.from(word, 'latin1') : word));
  const word = known.length === 0 ? [] : [{ arbitrary: fc.constantFrom(...known), weight: 3 }];
  const bytes = fc.oneof({ arbitrary: fc.uint8Array({ minLength: 1, maxLength: 12 }), weight: 1 }, ...word);
  return fc.oneof<fc.WeightedArbitrary<Edit>[]>(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('flip'), at: place, bit: fc.nat(7) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('number'),
        at: place,
        value: fc.oneof(fc.constantFrom(...borders), fc.bigInt({ min: 0n, max: 0xffffn })),
        width: fc.constantFrom(1, 2, 4, 8),
        big: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('insert'), at: place, bytes }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove'), at: place, length }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('repeat'), at: place, length, times: fc.integer({ min: 1, max: 40 }) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('move'), at: place, length, to: place }) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('digits'), at: place, text: fc.constantFrom(...digitTexts) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut'), at: place }) },
  );
}

/**
 * Real files with a few changes each. Where a reader fails, fast-check takes changes away as long as it still does.
 *
 * @param seeds files as they should be
 * @param words texts and opcodes of the format, to be put in
 */
export function mutated(
  seeds: readonly Uint8Array[],
  words: readonly (string | Uint8Array)[] = [],
): fc.Arbitrary<Uint8Array> {
  const edit = edits(words);
  const few = { weight: 3, arbitrary: fc.array(edit, { maxLength: 2 }) };
  const changes = fc.oneof(few, { weight: 1, arbitrary: fc.array(edit, { minLength: 3, maxLength: 8 }) });
  return fc.tuple(fc.nat(seeds.length - 1), changes).map(([seed, list]) => list.reduce(applied, seeds[seed]!));
}

/** The same for texts, as UTF-8 reads them back. */
export function mutatedText(seeds: readonly string[], words: readonly string[] = []): fc.Arbitrary<string> {
  return mutated(
    seeds.map((seed) => Buffer.from(seed)),
    words.map((word) => Buffer.from(word)),
  ).map((bytes) => Buffer.from(bytes).toString());
}

/** A changed copy; the given bytes stay as they are. */
export function applied(bytes: Uint8Array, edit: Edit): Uint8Array {
  const at = within(edit.at, bytes.length);
  const spliced = (removed: number, ...inserted: Uint8Array[]): Uint8Array =>
    Buffer.concat([bytes.subarray(0, at), ...inserted, bytes.subarray(at + removed)]);
  switch (edit.kind) {
    case 'flip': {
      const copy = Uint8Array.from(bytes);
      if (copy.length > 0) copy[at]! ^= 1 << edit.bit;
      return copy;
    }
    case 'number': {
      const number = Buffer.alloc(8);
      if (edit.big) number.writeBigUInt64BE(edit.value);
      else number.writeBigUInt64LE(edit.value);
      const { width } = edit;
      return spliced(width, edit.big ? number.subarray(8 - width) : number.subarray(0, width));
    }
    case 'insert':
      return spliced(0, edit.bytes);
    case 'remove':
      return spliced(edit.length);
    case 'repeat': {
      const part = bytes.subarray(at, at + edit.length);
      return spliced(0, ...new Array<Uint8Array>(edit.times).fill(part));
    }
    case 'move': {
      const to = within(edit.to, bytes.length);
      return spliced(edit.length, bytes.subarray(to, to + edit.length));
    }
    case 'digits': {
      const start = bytes.findIndex((byte, i) => i >= at && isDigit(byte));
      if (start < 0) return bytes;
      let end = start;
      while (end < bytes.length && isDigit(bytes[end]!)) end++;
      return Buffer.concat([bytes.subarray(0, start), Buffer.from(edit.text), bytes.subarray(end)]);
    }
    case 'cut':
      return bytes.subarray(0, at);
  }
}

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

const within = (at: number, length: number): number => (length === 0 ? 0 : ((at % length) + length) % length);

import { wholeNumber } from '../json.js';
import type { ByteReader } from './bytes.js';

/** Marks that may be open. */
const DEEPEST = 1000;

/**
 * The memory of the pickle machine: a stack, the stacks below open marks, and a memo. What changes it answers true: the opcode
 * was understood.
 *
 * @throws InputError, naming the byte, where something is taken that is not there
 */
export class PickleStack<Value> {
  #items: Value[] = [];
  readonly #below: Value[][] = [];
  readonly #memo = new Map<number, Value>();

  constructor(private readonly reader: ByteReader) {}

  push(value: Value): true {
    this.#items.push(value);
    return true;
  }

  pop(): Value {
    const value = this.#items.pop();
    if (value === undefined) throw this.#problem('stack is empty');
    return value;
  }

  top(): Value {
    const value = this.#items.at(-1);
    if (value === undefined) throw this.#problem('stack is empty');
    return value;
  }

  /** The last items, in their order. */
  popItems(count: number): Value[] {
    if (this.#items.length < count) throw this.#problem('stack is empty');
    return this.#items.splice(this.#items.length - count);
  }

  mark(): true {
    if (this.#below.length >= DEEPEST) throw this.#problem(`nested more than ${DEEPEST} deep`);
    this.#below.push(this.#items);
    this.#items = [];
    return true;
  }

  /** Everything above the last mark, which is taken too. */
  popMark(): Value[] {
    const items = this.#items;
    const below = this.#below.pop();
    if (below === undefined) throw this.#problem('no mark is open');
    this.#items = below;
    return items;
  }

  /** Drops an item; of an empty stack, the mark. */
  drop(): true {
    if (this.#items.length > 0) this.#items.pop();
    else this.popMark();
    return true;
  }

  replaceMark(make: (items: Value[]) => Value): true {
    return this.push(make(this.popMark()));
  }

  /** Remembers the top, by default under the number of what is remembered so far. */
  memoize(key = this.#memo.size): true {
    this.#memo.set(key, this.top());
    return true;
  }

  recall(key: number): true {
    const value = this.#memo.get(key);
    if (value === undefined) throw this.#problem(`memo ${key} is not set`);
    return this.push(value);
  }

  /** Reads the key of a memo: a line of text, a byte, or four. */
  memoKey(text: boolean, short: boolean): number {
    if (!text) return short ? this.reader.byte() : this.reader.size(4, Number.MAX_SAFE_INTEGER);
    const key = wholeNumber(this.reader.line());
    if (key === undefined) throw this.#problem('a memo whose key is no whole number');
    return key;
  }

  #problem(what: string): Error {
    return this.reader.problem(`malformed pickle: ${what}`);
  }
}

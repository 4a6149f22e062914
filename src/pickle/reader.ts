import type { Budget } from '../budget.js';
import { InputError } from '../errors.js';
import { ByteReader, type PickleLiteral, readLiteral } from './bytes.js';
import { PickleStack } from './stack.js';

/**
 * Something that a pickle made by calling a global, or a global itself. What the globals are is the caller's business;
 * see `checkpoints/pytorch-globals.ts`.
 */
export abstract class Rebuilt {
  /** Takes the state that BUILD hands over. @throws InputError unless the subclass knows what to do with it */
  build(_state: PickleValue, where: string): void {
    throw new InputError(`${where}: sets the state of ${this.describe()}; valid: plain data and tensors`);
  }
  /** What it is, for messages. */
  abstract describe(): string;
}

/** A name of Python's that a pickle may call. Calling it runs `call`, never Python. */
export class PickleGlobal extends Rebuilt {
  constructor(
    readonly qualifiedName: string,
    readonly call: (args: readonly PickleValue[], where: string) => PickleValue,
  ) {
    super();
  }
  override describe(): string {
    return this.qualifiedName;
  }
}

/** Python data: tuples and lists are arrays, dicts (also ordered) are maps, sets are sets, bytes are Uint8Array. */
export type PickleValue = PickleLiteral | Rebuilt | PickleValue[] | Map<PickleValue, PickleValue> | Set<PickleValue>;

interface PickleOptions {
  /** Of the file: each operation is a step, and what its bytes do not bound is spent where it is taken. */
  readonly budget: Budget;
  /** The stand-in for a global, or undefined to have the file refused. */
  readonly findGlobal: (qualifiedName: string, where: string) => PickleGlobal | undefined;
  /** The value of a persistent id; without it a file with persistent ids is refused. */
  readonly loadPersistent?: (id: PickleValue) => PickleValue;
}

/** What V8 takes for an empty dict or set, which is one byte in a pickle, and for each item. */
const [CONTAINER_BYTES, ITEM_BYTES] = [200, 40];

/**
 * Reads one pickle (protocols 0 to 5) as data. Nothing in it is executed: globals are looked up in the caller's list and
 * any other, `os.system` say, is refused by name.
 *
 * Our own and not the npm package `pickleparser` (0.2.1), which calls and constructs whatever the stack holds, makes an
 * object of any global it does not know, assigns states onto objects, yields `undefined` for missing memo entries and
 * has no limits; it is a reader for files one trusts.
 *
 * @param bytes may go on after the pickle
 * @param start where the pickle begins
 * @returns the value and the position after the pickle's STOP
 * @throws InputError on truncated, malformed or hostile input, naming the byte
 */
export function readPickle(
  bytes: Uint8Array,
  start: number,
  options: PickleOptions,
): { readonly value: PickleValue; readonly end: number } {
  return new Unpickler(new ByteReader(bytes, start, options.budget.where), options).run();
}

/** The pickle machine: a stack, the stacks below open marks, and a memo. Opcodes as in Python's `pickletools`. */
class Unpickler {
  readonly #stack: PickleStack<PickleValue>;

  constructor(
    private readonly reader: ByteReader,
    private readonly options: PickleOptions,
  ) {
    this.#stack = new PickleStack(reader);
  }

  run(): { value: PickleValue; end: number } {
    for (;;) {
      this.options.budget.steps();
      const at = this.reader.position;
      const code = this.reader.byte();
      if (code === 0x2e /* STOP */) return { value: this.#stack.pop(), end: this.reader.position };
      if (!this.#literal(code) && !this.#structure(code) && !this.#object(code)) {
        throw this.#problem(`opcode 0x${code.toString(16).padStart(2, '0')} is not one that dgate reads`, at);
      }
    }
  }

  /** A number, text or bytes. Returns false for other opcodes, as do the two methods below. */
  #literal(code: number): boolean {
    const value = readLiteral(code, this.reader);
    return value !== undefined && this.#stack.push(value);
  }

  /** Framing, marks, memo, tuples, lists, dicts, sets. */
  #structure(code: number): boolean {
    const stack = this.#stack;
    switch (code) {
      case 0x80: // PROTO
        if (this.reader.byte() > 5) throw this.#problem('pickle protocol above 5; valid: 0 to 5');
        return true;
      case 0x95: // FRAME: only a hint for buffering
        this.reader.bytes(8);
        return true;
      case 0x28: // MARK
        return stack.mark();
      case 0x30: // POP
        return stack.drop();
      case 0x31: // POP_MARK
        stack.popMark();
        return true;
      case 0x32: // DUP
        return stack.push(stack.top());
      case 0x70: // PUT
      case 0x71: // BINPUT
      case 0x72: // LONG_BINPUT
        return stack.memoize(stack.memoKey(code === 0x70, code === 0x71));
      case 0x94: // MEMOIZE
        return stack.memoize();
      case 0x67: // GET
      case 0x68: // BINGET
      case 0x6a: // LONG_BINGET
        return stack.recall(stack.memoKey(code === 0x67, code === 0x68));
      case 0x29: // EMPTY_TUPLE
      case 0x5d: // EMPTY_LIST
        return stack.push([]);
      case 0x74: // TUPLE
      case 0x6c: // LIST
        return this.#stack.replaceMark((items) => items);
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return stack.push(stack.popItems(code - 0x84));
      case 0x61: // APPEND
        return this.#appendTo([this.#stack.pop()]);
      case 0x65: // APPENDS
        return this.#appendTo(this.#stack.popMark());
      case 0x7d: // EMPTY_DICT
        return stack.push(this.#container(new Map()));
      case 0x64: // DICT
        return this.#stack.replaceMark((items) => this.#setItems(this.#container(new Map()), items));
      case 0x73: // SETITEM
        return this.#setTop(stack.popItems(2));
      case 0x75: // SETITEMS
        return this.#setTop(this.#stack.popMark());
      case 0x8f: // EMPTY_SET
        return stack.push(this.#container(new Set()));
      case 0x91: // FROZENSET
        return this.#stack.replaceMark((items) => this.#container(new Set(items)));
      case 0x90: // ADDITEMS
        return this.#addTo(this.#stack.popMark());
      default:
        return false;
    }
  }

  /** Globals, calls, states, persistent ids. */
  #object(code: number): boolean {
    switch (code) {
      case 0x63: // GLOBAL
        return this.#stack.push(this.#global(this.reader.line(), this.reader.line()));
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#stack.pop();
        const module = this.#stack.pop();
        if (typeof module !== 'string' || typeof name !== 'string') throw this.#problem('a global needs two texts');
        return this.#stack.push(this.#global(module, name));
      }
      case 0x69: {
        // INST
        const called = this.#global(this.reader.line(), this.reader.line());
        return this.#stack.replaceMark((args) => this.#call(called, args));
      }
      case 0x6f: // OBJ
        return this.#stack.replaceMark(([called, ...args]) => this.#call(called ?? null, args));
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const args = this.#stack.pop();
        if (!Array.isArray(args)) throw this.#problem('calls with something other than a tuple');
        return this.#stack.push(this.#call(this.#stack.pop(), args));
      }
      case 0x62: {
        // BUILD: attributes of a dict (`_metadata` of a state dict) are not its items and are dropped
        const state = this.#stack.pop();
        const target = this.#stack.top();
        if (target instanceof Map) return true;
        if (!(target instanceof Rebuilt)) throw this.#problem('sets the state of plain data');
        target.build(state, this.options.budget.where);
        return true;
      }
      case 0x50: // PERSID
        return this.#stack.push(this.#persistent(this.reader.line()));
      case 0x51: // BINPERSID
        return this.#stack.push(this.#persistent(this.#stack.pop()));
      default:
        return false;
    }
  }

  #global(module: string, name: string): PickleGlobal {
    const qualifiedName = `${module}.${name}`;
    const found = this.options.findGlobal(qualifiedName, this.options.budget.where);
    if (found !== undefined) return found;
    throw new InputError(
      `${this.options.budget.where}: refused: asks for Python's ${JSON.stringify(qualifiedName.slice(0, 100))}; ` +
        'valid: tensors and plain data only, as torch.save(model.state_dict(), ...) writes them',
    );
  }

  /**
   * A call makes something of the size of its arguments, and a memo lets a few bytes give it the same large one again and
   * again.
   */
  #call(called: PickleValue, args: readonly PickleValue[]): PickleValue {
    const { budget } = this.options;
    if (!(called instanceof PickleGlobal)) throw this.#problem('calls something that is not a function');
    for (const argument of args) {
      if (typeof argument === 'string' || argument instanceof Uint8Array) budget.bytes(argument.length);
      else {
        budget.bytes(ITEM_BYTES * itemsOf(argument));
        budget.steps(itemsOf(argument));
      }
    }
    budget.bytes(CONTAINER_BYTES);
    return called.call(args, budget.where);
  }

  #persistent(id: PickleValue): PickleValue {
    if (this.options.loadPersistent === undefined) throw this.#problem('unexpected persistent id');
    return this.options.loadPersistent(id);
  }

  #container<T extends Map<PickleValue, PickleValue> | Set<PickleValue>>(made: T): T {
    this.options.budget.bytes(CONTAINER_BYTES);
    return made;
  }

  #appendTo(items: readonly PickleValue[]): boolean {
    const list = this.#stack.top();
    if (!Array.isArray(list)) throw this.#problem('appends to something other than a list');
    for (const item of items) list.push(item);
    return true;
  }

  #addTo(items: readonly PickleValue[]): boolean {
    const set = this.#stack.top();
    if (!(set instanceof Set)) throw this.#problem('adds to something other than a set');
    for (const item of items) set.add(item);
    return true;
  }

  #setTop(items: readonly PickleValue[]): boolean {
    const dict = this.#stack.top();
    if (!(dict instanceof Map)) throw this.#problem('sets items of something other than a dict');
    this.#setItems(dict, items);
    return true;
  }

  #setItems(dict: Map<PickleValue, PickleValue>, items: readonly PickleValue[]): PickleValue {
    if (items.length % 2 !== 0) throw this.#problem('a dict needs pairs');
    for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
    return dict;
  }

  #problem(what: string, at = this.reader.position): InputError {
    return this.reader.problem(`malformed pickle: ${what}`, at);
  }
}

/** Items of a value, not counting what they hold. */
function itemsOf(value: PickleValue): number {
  if (Array.isArray(value)) return value.length;
  return value instanceof Map || value instanceof Set ? value.size : 0;
}

import { InputError } from '../errors.js';
import type { Budget } from '../json.js';
import { wholeNumber } from '../json.js';
import { ByteReader, literals, type PickleLiteral } from './bytes.js';

/** What a pickle made by calling a global, or a global itself; the caller defines them (`checkpoints/pytorch-globals.ts`). */
export abstract class Rebuilt {
  /** Takes the state of BUILD. @throws InputError unless a subclass accepts it */
  build(_state: PickleValue, where: string): void {
    throw new InputError(`${where}: sets the state of ${this.describe()}; valid: plain data and tensors`);
  }
  /** What it is, for messages. */
  abstract describe(): string;
}

/** A Python name that a pickle may call. Calling it runs `call`, never Python. */
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
  /** Of the file: each operation is a step. */
  readonly budget: Budget;
  /** The stand-in for a global; undefined refuses the file. */
  readonly findGlobal: (qualifiedName: string, where: string) => PickleGlobal | undefined;
  /** The value of a persistent id; if absent, files with persistent ids are refused. */
  readonly loadPersistent?: (id: PickleValue) => PickleValue;
}

/** Memory that V8 needs for an empty dict or set, one byte in a pickle, and for each item. */
const [CONTAINER_BYTES, ITEM_BYTES] = [200, 40];

/** Most open marks. */
const DEEPEST = 1000;

/**
 * Reads one pickle (protocols 0 to 5) as data. Executes nothing: the caller provides the allowed globals, and any other
 * (`os.system`) is refused by name. `docs/decisions` says why this is no npm package.
 *
 * @param bytes may go on after the pickle
 * @param start position of the pickle
 * @returns the value and the position after the pickle's STOP
 * @throws InputError on truncated, malformed or hostile input, naming the byte
 */
export function readPickle(
  bytes: Uint8Array,
  start: number,
  options: PickleOptions,
): { readonly value: PickleValue; readonly end: number } {
  const reader = new ByteReader(bytes, start, options.budget.where);
  const machine = new PickleMachine(reader, options);
  for (;;) {
    options.budget.steps();
    const at = reader.position;
    const code = reader.byte();
    const literal = literals[code];
    if (code === 0x2e /* STOP */) return { value: machine.pop(), end: reader.position };
    if (literal !== undefined) machine.push(literal(reader));
    else if (operations[code] !== undefined) operations[code](machine, reader);
    else throw machine.problem(`opcode 0x${code.toString(16).padStart(2, '0')} is not one that dgate reads`, at);
  }
}

/** The other opcodes, as in Python's `pickletools`. */
const operations: Readonly<Record<number, (machine: PickleMachine, reader: ByteReader) => void>> = {
  128: (machine, reader) => {
    if (reader.byte() > 5) throw machine.problem('pickle protocol above 5; valid: 0 to 5');
  }, // PROTO
  149: (_, reader) => reader.bytes(8), // FRAME: only a hint for buffering
  40: (machine) => machine.mark(), // MARK
  48: (machine) => machine.drop(), // POP
  49: (machine) => machine.popMark(), // POP_MARK
  50: (machine) => machine.push(machine.top()), // DUP
  112: (machine, reader) => machine.memoize(machine.memoKey(reader.line())), // PUT
  113: (machine, reader) => machine.memoize(reader.byte()), // BINPUT
  114: (machine, reader) => machine.memoize(reader.size(4, Number.MAX_SAFE_INTEGER)), // LONG_BINPUT
  148: (machine) => machine.memoize(), // MEMOIZE
  103: (machine, reader) => machine.recall(machine.memoKey(reader.line())), // GET
  104: (machine, reader) => machine.recall(reader.byte()), // BINGET
  106: (machine, reader) => machine.recall(reader.size(4, Number.MAX_SAFE_INTEGER)), // LONG_BINGET
  41: (machine) => machine.push([]), // EMPTY_TUPLE
  93: (machine) => machine.push([]), // EMPTY_LIST
  116: (machine) => machine.push(machine.popMark()), // TUPLE
  108: (machine) => machine.push(machine.popMark()), // LIST
  133: (machine) => machine.push(machine.popItems(1)), // TUPLE1
  134: (machine) => machine.push(machine.popItems(2)), // TUPLE2
  135: (machine) => machine.push(machine.popItems(3)), // TUPLE3
  97: (machine) => machine.append([machine.pop()]), // APPEND
  101: (machine) => machine.append(machine.popMark()), // APPENDS
  125: (machine) => machine.push(machine.container(new Map())), // EMPTY_DICT
  100: (machine) => {
    const items = machine.popMark();
    machine.push(machine.container(new Map()));
    machine.setItems(items);
  }, // DICT
  115: (machine) => machine.setItems(machine.popItems(2)), // SETITEM
  117: (machine) => machine.setItems(machine.popMark()), // SETITEMS
  143: (machine) => machine.push(machine.container(new Set())), // EMPTY_SET
  145: (machine) => machine.push(machine.container(new Set(machine.popMark()))), // FROZENSET
  144: (machine) => machine.addToSet(machine.popMark()), // ADDITEMS
  99: (machine, reader) => machine.push(machine.global(reader.line(), reader.line())), // GLOBAL
  147: (machine) => {
    const [module, name] = machine.popItems(2);
    machine.push(machine.global(module, name));
  }, // STACK_GLOBAL
  105: (machine, reader) => machine.call(machine.global(reader.line(), reader.line()), machine.popMark()), // INST
  111: (machine) => {
    const [called = null, ...args] = machine.popMark();
    machine.call(called, args);
  }, // OBJ
  82: (machine) => machine.callWithTuple(), // REDUCE
  129: (machine) => machine.callWithTuple(), // NEWOBJ
  98: (machine) => machine.build(machine.pop()), // BUILD
  80: (machine, reader) => machine.pushPersistent(reader.line()), // PERSID
  81: (machine) => machine.pushPersistent(machine.pop()), // BINPERSID
};

/** A stack, the stacks below open marks, and a memo. Taking what is not there is an InputError that names the byte. */
class PickleMachine {
  #items: PickleValue[] = [];
  readonly #below: PickleValue[][] = [];
  readonly #memo = new Map<number, PickleValue>();

  constructor(
    private readonly reader: ByteReader,
    private readonly options: PickleOptions,
  ) {}

  push(value: PickleValue): void {
    this.#items.push(value);
  }

  pop(): PickleValue {
    const value = this.top();
    this.#items.pop();
    return value;
  }

  top(): PickleValue {
    const value = this.#items.at(-1);
    if (value === undefined) throw this.problem('stack is empty');
    return value;
  }

  /** The last items, in their order. */
  popItems(count: number): PickleValue[] {
    if (this.#items.length < count) throw this.problem('stack is empty');
    return this.#items.splice(this.#items.length - count);
  }

  mark(): void {
    if (this.#below.length >= DEEPEST) throw this.problem(`nested more than ${DEEPEST} deep`);
    this.#below.push(this.#items);
    this.#items = [];
  }

  /** Removes the last mark and everything above it. */
  popMark(): PickleValue[] {
    const items = this.#items;
    const below = this.#below.pop();
    if (below === undefined) throw this.problem('no mark is open');
    this.#items = below;
    return items;
  }

  /** Drops an item, or the mark of an empty stack. */
  drop(): void {
    if (this.#items.length > 0) this.#items.pop();
    else this.popMark();
  }

  /** Stores the top in the memo, by default under the next number. */
  memoize(key = this.#memo.size): void {
    this.#memo.set(key, this.top());
  }

  recall(key: number): void {
    const value = this.#memo.get(key);
    if (value === undefined) throw this.problem(`memo ${key} is not set`);
    this.push(value);
  }

  memoKey(line: string): number {
    const key = wholeNumber(line);
    if (key === undefined) throw this.problem('a memo whose key is no whole number');
    return key;
  }

  append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.problem('appends to something other than a list');
    for (const item of items) list.push(item);
  }

  addToSet(items: readonly PickleValue[]): void {
    const set = this.top();
    if (!(set instanceof Set)) throw this.problem('adds to something other than a set');
    for (const item of items) set.add(item);
  }

  setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof Map)) throw this.problem('sets items of something other than a dict');
    if (items.length % 2 !== 0) throw this.problem('a dict needs pairs');
    for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
  }

  container<T extends Map<PickleValue, PickleValue> | Set<PickleValue>>(made: T): T {
    this.options.budget.bytes(CONTAINER_BYTES);
    return made;
  }

  global(module: PickleValue | undefined, name: PickleValue | undefined): PickleGlobal {
    if (typeof module !== 'string' || typeof name !== 'string') throw this.problem('a global needs two texts');
    const { findGlobal, budget } = this.options;
    const qualifiedName = `${module}.${name}`;
    const found = findGlobal(qualifiedName, budget.where);
    if (found !== undefined) return found;
    throw new InputError(
      `${budget.where}: refused: asks for Python's ${JSON.stringify(qualifiedName.slice(0, 100))}; ` +
        'valid: tensors and plain data only, as torch.save(model.state_dict(), ...) writes them',
    );
  }

  callWithTuple(): void {
    const args = this.pop();
    if (!Array.isArray(args)) throw this.problem('calls with something other than a tuple');
    this.call(this.pop(), args);
  }

  /** Spends the size of the arguments: a memo lets a few bytes pass the same large one again and again. */
  call(called: PickleValue, args: readonly PickleValue[]): void {
    const { budget } = this.options;
    if (!(called instanceof PickleGlobal)) throw this.problem('calls something that is not a function');
    for (const argument of args) {
      if (typeof argument === 'string' || argument instanceof Uint8Array) budget.bytes(argument.length);
      else {
        budget.bytes(ITEM_BYTES * itemsOf(argument));
        budget.steps(itemsOf(argument));
      }
    }
    budget.bytes(CONTAINER_BYTES);
    this.push(called.call(args, budget.where));
  }

  /** Sets the state of the top. Attributes of a dict (`_metadata` of a state dict) are not its items and are dropped. */
  build(state: PickleValue): void {
    const target = this.top();
    if (target instanceof Map) return;
    if (!(target instanceof Rebuilt)) throw this.problem('sets the state of plain data');
    target.build(state, this.options.budget.where);
  }

  pushPersistent(id: PickleValue): void {
    if (this.options.loadPersistent === undefined) throw this.problem('unexpected persistent id');
    this.push(this.options.loadPersistent(id));
  }

  problem(what: string, at = this.reader.position): InputError {
    return this.reader.problem(`malformed pickle: ${what}`, at);
  }
}

/** Number of items of a value, without nested ones. */
function itemsOf(value: PickleValue): number {
  if (Array.isArray(value)) return value.length;
  return value instanceof Map || value instanceof Set ? value.size : 0;
}

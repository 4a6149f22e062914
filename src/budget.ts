import { InputError } from './errors.js';

/**
 * What reading a file may take: more than any honest file needs, little enough for a hostile one to end within a second and
 * some hundred MB, or in proportion to its size.
 */
const ROOM = {
  /** Memory of what is made from it: this much, and so many times its size. */
  bytes: 64 * 2 ** 20,
  perByte: 16,
  /** Small pieces of work, of about a microsecond each or some 100 bytes on the heap: this many, one more for each byte, ... */
  steps: 1_000_000,
  /** ... and never more, since the heap ends at some GB. */
  mostSteps: 10_000_000,
};

/**
 * What reading one file may still take. A reader spends it where it does the work: a few bytes can ask for the same text again
 * and again, for sets of one list, for tensors that share one storage.
 */
export class Budget {
  #bytes = ROOM.bytes;
  #steps = ROOM.steps;
  #size = 0;

  /**
   * @param where what the messages call the file
   * @param size of the file in bytes
   * @param valid what is read instead, for messages
   */
  constructor(
    readonly where: string,
    size: number,
    readonly valid: string,
  ) {
    this.add(size);
  }

  /** A further file, which the first one names, may take as much for its size. */
  add(size: number): void {
    this.#size += size;
    this.#bytes += ROOM.perByte * size;
    this.#steps += Math.min(size, ROOM.mostSteps - ROOM.steps);
  }

  /** Memory is about to be taken. @param part of the file, for the message @throws InputError where it is more than is left */
  bytes(count: number, part = ''): void {
    this.#bytes -= count;
    if (!(this.#bytes >= 0)) this.#refuse(`${ROOM.bytes + ROOM.perByte * this.#size} bytes of memory`, part);
  }

  /** Work is about to be done. @throws InputError where it is more than is left */
  steps(count = 1): void {
    this.#steps -= count;
    if (!(this.#steps >= 0)) this.#refuse(`${Math.min(ROOM.steps + this.#size, ROOM.mostSteps)} steps`);
  }

  #refuse(limit: string, part = ''): never {
    throw new InputError(
      `${this.where}${part && ': '}${part}: takes more than ${limit} to read, the limit for ${this.#size} bytes; valid: ${this.valid}`,
    );
  }
}

/** Batch sizes whose sessions are kept open; each session holds the weights on the device. */
const MOST_SIZES = 4;

/** Sessions by batch size, opened on first use; the least recently used one is closed. */
export class SessionPool<Opened> {
  readonly #opened = new Map<number, Promise<Opened>>();

  constructor(
    readonly open: (size: number) => Promise<Opened>,
    readonly close: (opened: Opened) => Promise<void>,
  ) {}

  /** The session for a batch size. Calls may overlap, for at most four sizes at a time. @throws whatever `open` throws */
  get(size: number): Promise<Opened> {
    const known = this.#opened.get(size);
    if (known !== undefined) {
      this.#opened.delete(size);
      this.#opened.set(size, known); // the most recently used one is last
      return known;
    }
    const closed = this.#opened.size >= MOST_SIZES ? this.#closeOne() : Promise.resolve();
    const opening = closed.then(() => this.open(size));
    this.#opened.set(size, opening);
    opening.catch(() => {
      if (this.#opened.get(size) === opening) this.#opened.delete(size);
    });
    return opening;
  }

  /** Closes everything that is open. */
  async closeAll(): Promise<void> {
    while (this.#opened.size > 0) await this.#closeOne();
  }

  async #closeOne(): Promise<void> {
    const [size, opened] = [...this.#opened][0]!;
    this.#opened.delete(size);
    await opened.then(this.close, () => undefined); // `get` has reported a failure to open
  }
}

/** One session for single images and one for batches, each opened on first use. @param open for `one` image or for `any` number */
export function oneOrMore<Opened>(
  open: (images: 'one' | 'any') => Promise<Opened>,
  close: (opened: Opened) => Promise<void>,
): Pick<SessionPool<Opened>, 'get' | 'closeAll'> {
  const sizes = new SessionPool((size) => open(size === 1 ? 'one' : 'any'), close);
  return { get: (count) => sizes.get(Math.min(count, 2)), closeAll: () => sizes.closeAll() };
}

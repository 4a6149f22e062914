/** Sizes of batches whose sessions are kept; each holds the weights on the device. */
const MOST_SIZES = 4;

/** What is opened for a size of batches, when it is first asked for; the size that was not used for longest is closed. */
export class SessionPool<Opened> {
  readonly #opened = new Map<number, Promise<Opened>>();

  constructor(
    readonly open: (size: number) => Promise<Opened>,
    readonly close: (opened: Opened) => Promise<void>,
  ) {}

  /** What is open for a size. Calls may overlap, but not more than four sizes at a time. @throws what opening throws */
  get(size: number): Promise<Opened> {
    const known = this.#opened.get(size);
    if (known !== undefined) {
      this.#opened.delete(size);
      this.#opened.set(size, known); // the last one used stands last
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
    await opened.then(this.close, () => undefined); // what failed to open was said when it was asked for
  }
}

/** What is opened for one image and for more, each when it is first asked for. @param open for `one` image or for `any` number */
export function oneOrMore<Opened>(
  open: (images: 'one' | 'any') => Promise<Opened>,
  close: (opened: Opened) => Promise<void>,
): Pick<SessionPool<Opened>, 'get' | 'closeAll'> {
  const sizes = new SessionPool((size) => open(size === 1 ? 'one' : 'any'), close);
  return { get: (count) => sizes.get(Math.min(count, 2)), closeAll: () => sizes.closeAll() };
}

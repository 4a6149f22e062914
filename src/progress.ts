/** Reports of long stages; `src/cli/context.ts` writes them to the console. */
export interface Progress {
  /** One line that stays: why a stage ran or was skipped, what was chosen and why. */
  note(message: string): void;
  /** A warning; the work goes on. */
  warn(message: string): void;
  /** Begins a long piece of work of `total` units (`unit` in plural: "images", "MB"); 0 where the total is unknown. */
  begin(label: string, total: number, unit: string): ProgressTask;
}

export interface ProgressTask {
  /** Units done so far. @param expected units in all, as far as can be told now, where `total` is only the most */
  update(done: number, detail?: string, expected?: number): void;
  /** Ends the work with the line that stays. */
  end(message?: string): void;
}

export const silent: Progress = {
  note() {},
  warn() {},
  begin: () => ({ update() {}, end() {} }),
};

let columns = Number.POSITIVE_INFINITY;

/** Columns of the terminal that text is rendered for; no limit for files. */
export const columnsLeft = (): number => columns;

/** Renders text with tables of at most this many columns of a terminal. */
export function withinColumns(most: number, render: () => string): string {
  const before = columns;
  columns = most;
  try {
    return render();
  } finally {
    columns = before;
  }
}

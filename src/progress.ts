/** Where a long stage says how far it is. Console output lives in `src/cli/progress.ts`; tests pass {@link silent}. */
export interface Progress {
  /** One line that stays: why a stage ran or was skipped, what was chosen and why. */
  note(message: string): void;
  /** Warns of something the user should look at; the work goes on. */
  warn(message: string): void;
  /** Begins a long piece of work of `total` units (`unit` in plural: "images", "MB"); 0 where the total is unknown. */
  begin(label: string, total: number, unit: string): ProgressTask;
}

export interface ProgressTask {
  /** Absolute number of units done so far; rate and time left are derived from it. */
  update(done: number, detail?: string): void;
  /** Ends the work with the line that stays. */
  end(message?: string): void;
}

/** Progress that says nothing. */
export const silent: Progress = {
  note() {},
  warn() {},
  begin: () => ({ update() {}, end() {} }),
};

let columns = Number.POSITIVE_INFINITY;

/** Columns of the terminal that text is being rendered for; no limit for files. */
export const columnsLeft = (): number => columns;

/** Renders text whose tables fit so many columns of a terminal. */
export function withinColumns(most: number, render: () => string): string {
  const before = columns;
  columns = most;
  try {
    return render();
  } finally {
    columns = before;
  }
}

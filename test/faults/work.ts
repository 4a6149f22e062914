import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { download } from '../../src/checkpoints/fetch.js';
import { fetchRecords } from '../../src/data/records/fetch.js';
import { loadRecords, type RecordLayout } from '../../src/data/records/layout.js';
import { InputError } from '../../src/errors.js';
import type { Override } from '../../src/experiment/resolve.js';
import { timeRun } from '../../src/gated/time/time.js';
import type { Progress } from '../../src/progress.js';
import { writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import { tinyExperiment, workplaceAt } from '../run/workplace.js';

/** What a run is told. */
export interface Told {
  readonly folder: string;
  /** Server of the checkpoint and of the dataset's archive; nothing is fetched without. */
  readonly server?: string;
  readonly layout?: RecordLayout;
  readonly checkpointSha256?: string;
  readonly train: number;
  readonly test: number;
  readonly time?: boolean;
  readonly overrides?: readonly Override[];
  /** Folder of tables, if not in `folder`. */
  readonly results?: string;
}

/** How a command ended that ran in this process: what it would have printed, and its exit status. */
export interface Worked {
  readonly status: 0 | 1 | 2;
  readonly stdout: string;
}

/** Fetch, extraction, gates, search, report and timing of a small experiment, as `dgate run` and `dgate time` do them. */
export async function work(told: Told, say: (line: string) => void): Promise<Worked> {
  const progress: Progress = {
    note: say,
    warn: (text) => say(`warning: ${text}`),
    begin: () => ({ update() {}, end() {} }),
  };
  try {
    const at = workplaceAt(told.folder, { train: told.train, test: told.test });
    const context = { ...at.context, progress, ...(told.results !== undefined && { resultsRoot: told.results }) };
    if (told.server !== undefined) {
      say('stage: fetching');
      await fetchAll(told, told.server, progress);
    }
    const outcome = await runExperiment(context, tinyExperiment(at, ...(told.overrides ?? [])));
    say('stage: reporting');
    const folder = await writeRun(outcome, 'laptop', context.resultsRoot);
    if (told.time === true) {
      say('stage: timing');
      const rest = async (): Promise<void> => {};
      await timeRun(context, outcome, { preset: 'laptop', batches: [1], images: 3, rules: 'default', rest });
    }
    return { status: 0, stdout: await readFile(join(folder, 'table.csv'), 'utf8') };
  } catch (error) {
    const isInput = error instanceof InputError;
    say(`dgate: ${isInput ? error.message : `failed: ${(error as Error).stack}`}`);
    return { status: isInput ? 2 : 1, stdout: '' };
  }
}

async function fetchAll({ folder, layout, checkpointSha256 }: Told, server: string, progress: Progress): Promise<void> {
  const quick = { progress, backoffMs: 20 };
  const to = join(folder, 'tiny.safetensors');
  await download({ urls: [`${server}/tiny.safetensors`], to, sha256: checkpointSha256, ...quick });
  const root = join(folder, 'data-small');
  await fetchRecords(
    {
      root,
      from: 'official',
      progress,
      download: async ({ url, to: archive, bytes, sha256 }) => {
        await download({ urls: [url], to: archive, sizeBytes: bytes, sha256, ...quick });
      },
    },
    layout!,
  );
  await loadRecords(root, 'train', layout!);
}

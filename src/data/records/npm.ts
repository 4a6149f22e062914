import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { InputError, messageOf } from '../../errors.js';
import { exists, hashFile, readJson } from '../../store/files.js';
import { readInput } from '../../store/input.js';
import type { PublishedSplit } from '../dataset.js';
import { withoutExtras } from '../png.js';
import { countOf, filesOf, imageBytes, type RecordFile, recordBytes } from './layout.js';
import { BlockOfRecords, type Form, planesOf } from './python-batch.js';

const run = promisify(execFile);

const pixels = 32 * 32;

/** A package to take from npm and the `dist.integrity` that its registry states for it. */
export interface NpmPackage {
  readonly spec: string;
  readonly integrity: string;
}

/**
 * Fetches a package's tarball with `npm pack`, which uses the user's registry, proxy and cache. It is not installed or run.
 *
 * @param into an empty folder
 * @param fetchCommand the user's command, for messages
 * @returns path of the tarball in it, its integrity checked
 * @throws InputError in one line, with npm's reason, if npm is missing, fails or returns another file
 */
export async function packFromNpm(
  { spec, integrity }: NpmPackage,
  into: string,
  fetchCommand: string,
): Promise<string> {
  const otherWays = `other ways: ${fetchCommand} --from official, or --from FOLDER with the files`;
  const windows = process.platform === 'win32';
  try {
    // On Windows npm is a batch file, which only a shell starts; options go by the environment, so nothing needs quotes.
    await run(windows ? 'npm.cmd' : 'npm', ['pack', spec], {
      env: packEnvironment(into),
      shell: windows,
      maxBuffer: 1 << 26,
    });
  } catch (error) {
    throw new InputError(`npm pack ${spec}: ${npmReason(error)}; ${otherWays}`, { cause: error });
  }
  const tarball = (await readdir(into)).find((name) => name.endsWith('.tgz'));
  if (tarball === undefined) throw new InputError(`npm pack ${spec}: npm made no tarball; ${otherWays}`);
  const path = join(into, tarball);
  const found = `sha512-${await hashFile(path, 'sha512', 'base64')}`;
  if (found !== integrity) {
    throw new InputError(`npm pack ${spec}: integrity ${found}; valid: ${integrity}; ${otherWays}`);
  }
  return path;
}

/** The user's environment, with its registry and proxy, plus settings that make npm quiet and its answer readable. */
function packEnvironment(into: string): NodeJS.ProcessEnv {
  return {
    // Without these npm retries for over a minute before it reports that there is no network.
    npm_config_fetch_retry_mintimeout: '1000',
    npm_config_fetch_retry_maxtimeout: '5000',
    ...process.env,
    npm_config_pack_destination: into,
    npm_config_json: 'true',
    npm_config_loglevel: 'error',
    npm_config_progress: 'false',
    npm_config_update_notifier: 'false',
    npm_config_ignore_scripts: 'true',
  };
}

/** Why npm failed, in one line. npm writes `{ error: { code, summary } }` to stdout and `npm error ...` lines to stderr. */
function npmReason(error: unknown): string {
  if (!(error instanceof Error)) return messageOf(error);
  const { stdout, stderr, code } = error as Error & { stdout?: string; stderr?: string; code?: string | number };
  if (code === 'ENOENT') return 'npm was not found on the PATH';
  const said = summaryIn(stdout ?? '');
  if (said !== undefined) return said;
  const lines = (stderr ?? '')
    .split('\n')
    .map((line) => line.replace(/^npm (error|ERR!)\s*/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('A complete log'));
  return lines.slice(0, 2).join(': ') || messageOf(error);
}

function summaryIn(stdout: string): string | undefined {
  try {
    const answer = JSON.parse(stdout) as { error?: { code?: string; summary?: string } };
    const { code, summary } = answer.error ?? {};
    const text = [code, summary?.split('\n')[0]].filter((part) => part).join(': ');
    return text === '' ? undefined : text;
  } catch {
    return undefined;
  }
}

/** The label files of the npm package (the names are theirs): a JSON list of the labels of a whole split. */
export const labelFiles: Readonly<Record<PublishedSplit, string>> = {
  train: 'train_lables.json',
  test: 'test_lables.json',
};

/** The PNG sheet that holds the images of a record file: one image per row, its 32 x 32 pixels in row-major order. */
export function sheetOf(file: RecordFile): string {
  return file.name.replace(/\.bin$/, '.png');
}

/** The npm package's sheets and label files. */
export const sheets: Form = {
  name: 'PNG sheets',
  async find(folder, split, layout) {
    if (layout.npm === undefined) return undefined;
    const names = [labelFiles[split], ...filesOf(layout, split).map(sheetOf)];
    const paths = names.map((name) => join(folder, name));
    const there = await Promise.all(paths.map(exists));
    return there.every(Boolean) ? paths : undefined;
  },
  async *blocks([labelFile = '', ...paths], split, layout) {
    const labels = await readLabels(labelFile, countOf(layout, split), layout.classes.length);
    let next = 0;
    for (const [i, path] of paths.entries()) {
      const { images } = filesOf(layout, split)[i]!;
      const sheet = await readSheet(path, images);
      const block = new BlockOfRecords(images, layout);
      while (!block.isFull)
        block.add([labels[next++]!], planesOf(sheet, (block.records.length * imageBytes) / recordBytes(layout)));
      yield block.records;
    }
  },
};

/** @returns (images, 1024 pixels, 3 colours) bytes */
async function readSheet(path: string, images: number): Promise<Uint8Array> {
  const file = withoutExtras(await readInput(path));
  const decode = async () =>
    sharp(file, { limitInputPixels: pixels * images })
      .raw()
      .toBuffer({ resolveWithObject: true });
  const { data, info } = await decode().catch((error: unknown) => {
    throw new InputError(`${path}: cannot be read as a PNG: ${messageOf(error)}`, { cause: error });
  });
  if (info.width !== pixels || info.height !== images || info.channels !== 3) {
    throw new InputError(
      `${path}: ${info.width} x ${info.height} pixels of ${info.channels} colours; valid: ${pixels} x ${images} of 3`,
    );
  }
  return data;
}

async function readLabels(path: string, count: number, classes: number): Promise<readonly number[]> {
  const found = await readJson(path);
  if (found === undefined) throw new InputError(`${path}: missing`);
  const isLabel = (label: unknown): label is number =>
    Number.isInteger(label) && (label as number) >= 0 && (label as number) < classes;
  if (!Array.isArray(found) || found.length !== count || !found.every(isLabel)) {
    throw new InputError(`${path}: not a list of ${count} labels, each 0 to ${classes - 1}`);
  }
  return found;
}

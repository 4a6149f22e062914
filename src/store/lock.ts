import { linkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ifThere, isAbsent, systemCode } from '../errors.js';
import { seal, unseal } from '../json.js';
import { asFileProblem, makeFolder, namesIn, removeOnExit, temporaryName } from './files.js';
import { readRegularSync, readText } from './input.js';
import { hasEnded, type ProcessName, thisProcess } from './processes.js';

/** Interval between touches of a held lock. */
const BEAT_MS = 10_000;
/** Silence after which a holder counts as dead: its machine crashed, or its network is down. */
const SILENT_MS = 120_000;
/** Pauses between attempts; most work on small data is short. */
const POLL_MS = [50, 100, 200, 400, 1000] as const;

/**
 * A lock between processes on one file system, also a network file system: a file that names its holder, made atomically by
 * `link` and touched every ten seconds. A dead holder on this machine is noticed at once, one on another machine after two
 * minutes of silence (clocks must agree within a minute).
 *
 * A lock only saves work (docs/decisions/03): two processes that both believe to hold it do some work twice, without harm.
 */
export class Lock {
  readonly #heart: NodeJS.Timeout;
  #released = false;

  private constructor(
    readonly path: string,
    private readonly text: string,
    private readonly keep: () => void,
  ) {
    this.#heart = setInterval(() => void beat(path), BEAT_MS).unref();
  }

  /**
   * Takes the lock if it is free or its holder is dead: ended, or silent for `silentMs`.
   * @returns undefined if another process holds it @throws InputError if the folder cannot be written
   */
  static async tryTake(path: string, silentMs = SILENT_MS): Promise<Lock | undefined> {
    const text = seal({ ...thisProcess(), since: new Date().toISOString() });
    const keep = removeOnExit(path, text);
    let taken = false;
    try {
      await makeFolder(dirname(path));
      taken = create(path, text) || ((await removeDead(path, silentMs)) && create(path, text));
      return taken ? new Lock(path, text, keep) : undefined;
    } catch (error) {
      throw asFileProblem(error, path);
    } finally {
      if (!taken) keep();
    }
  }

  /** Waits for the lock and takes it. @param onWait called once with the current holder */
  static async take(path: string, onWait: (holder: string) => void, silentMs = SILENT_MS): Promise<Lock> {
    for (let round = 0; ; round++) {
      const lock = await Lock.tryTake(path, silentMs);
      if (lock !== undefined) return lock;
      if (round === 0) onWait(await describeHolder(path));
      await pause(round);
    }
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    clearInterval(this.#heart);
    // Only our own lock: another process may have taken it over, believing this one dead.
    if ((await textOf(this.path)) === this.text) await rm(this.path, { force: true }).catch(() => {});
    this.keep();
  }
}

/** Waits before the next attempt, longer in later rounds. */
export function pause(round: number): Promise<void> {
  return delay(POLL_MS[Math.min(round, POLL_MS.length - 1)]!);
}

/** Runs work under a lock. @param onWait called once with the current holder */
export async function locked<T>(path: string, onWait: (holder: string) => void, work: () => Promise<T>): Promise<T> {
  const lock = await Lock.take(path, onWait);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

/** Runs work under a lock unless `find` has its result: before the lock is taken, or after a wait (`onWait`: the holder). */
export async function lockedUnlessDone<T>(
  path: string,
  find: () => Promise<T | undefined>,
  onWait: (holder: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  const present = await find();
  if (present !== undefined) return present;
  let waited = false;
  const waiting = (holder: string): void => {
    waited = true;
    onWait(holder);
  };
  return locked(path, waiting, async () => (waited ? await find() : undefined) ?? (await work()));
}

/** Whether a living process seems to hold this lock. */
export async function isHeld(path: string, silentMs = SILENT_MS): Promise<boolean> {
  const text = await textOf(path);
  return text !== undefined && !(await isDead(path, text, silentMs));
}

/** `process 1234 on node7`, for people. */
export async function describeHolder(path: string): Promise<string> {
  const holder = holderIn(await textOf(path));
  return holder === undefined ? 'another process' : `process ${holder.pid} on ${holder.host}`;
}

/** The process that wrote a lock; undefined if its text is damaged or absent. */
export function holderIn(text: string | undefined): ProcessName | undefined {
  return text === undefined ? undefined : (unseal(text) as ProcessName | undefined);
}

/** Touches a lock. Ignores errors: writing the result reports a failing disk. */
async function beat(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => {});
}

/** Makes the file with this text. @returns false if it already exists */
function create(path: string, text: string): boolean {
  const temporary = temporaryName(path);
  const keep = removeOnExit(temporary);
  try {
    writeFileSync(temporary, text, { flag: 'wx' });
    linkSync(temporary, path);
    return true;
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'EEXIST') return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) throw error;
    return createAlone(path, text);
  } finally {
    rmSync(temporary, { force: true });
    keep();
  }
}

/** For file systems without hard links: exclusive too, but the file is empty for a moment and counts as held. */
function createAlone(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Removes a lock whose holder is dead. @returns whether the lock is free now */
async function removeDead(path: string, silentMs: number): Promise<boolean> {
  const text = await textOf(path);
  if (text === undefined) return true;
  if (!(await isDead(path, text, silentMs))) return false;
  // Only one process can move the file away; it puts a new lock back.
  const taken = temporaryName(path);
  try {
    renameSync(path, taken);
  } catch {
    return true;
  }
  putBackUnless(text, taken, path);
  return true;
}

function putBackUnless(expected: string, taken: string, path: string): void {
  try {
    if (readRegularSync(taken).toString('utf8') !== expected) linkSync(taken, path);
  } catch {
    // Gone, or taken by a third process: a lock only saves work.
  }
  rmSync(taken, { force: true });
}

async function isDead(path: string, text: string, silentMs: number): Promise<boolean> {
  const holder = holderIn(text);
  if (holder !== undefined && hasEnded(holder)) return true;
  const found = await ifThere(path, stat(path));
  return found === undefined || Date.now() - found.mtimeMs > silentMs;
}

/** Text of a lock; undefined if it is gone, empty if it cannot be read: only its age counts then. */
function textOf(path: string): Promise<string | undefined> {
  return readText(path).catch((error: unknown) => (isAbsent(error) ? undefined : ''));
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Temporary files in a folder that ended processes of this machine left, or that are unchanged for a day. */
export async function abandonedIn(folder: string): Promise<string[]> {
  const abandoned: string[] = [];
  for (const name of await namesIn(folder)) {
    const [, machine, pid] = /\.([0-9a-f]{12})-(\d+)-[0-9a-f]{8}\.tmp$/.exec(name) ?? [];
    if (machine === undefined) continue;
    const path = join(folder, name);
    const changed = (await ifThere(path, stat(path)))?.mtimeMs ?? Date.now();
    if (hasEnded({ machine, pid: Number(pid), started: '' }) || Date.now() - changed > DAY_MS) abandoned.push(path);
  }
  return abandoned;
}

/** Locks in a folder whose holders are dead. */
export async function deadLocksIn(folder: string): Promise<string[]> {
  const locks = (await namesIn(folder)).filter((name) => name.endsWith('.lock'));
  const paths = locks.map((name) => join(folder, name));
  const held = await Promise.all(paths.map((path) => isHeld(path)));
  return paths.filter((_, i) => !held[i]);
}

/** Removes leftovers of killed processes in a folder. Ignores failures: leftovers do no harm. */
export async function sweep(folder: string): Promise<void> {
  for (const path of await abandonedIn(folder)) await rm(path, { recursive: true, force: true }).catch(() => {});
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { unseal } from '../../src/json.js';
import { sha256 } from '../../src/store/files.js';
import { makeSmallCifar10, remove, type SmallCifar10 } from '../data/smallCifar10.js';
import { filesBelow, writeTinyCheckpoint } from '../run/workplace.js';
import { type Told, work } from './work.js';

/** A server of a checkpoint and of a small CIFAR-10, slow enough to be killed in between. */
export interface Source {
  readonly url: string;
  readonly told: Pick<Told, 'server' | 'layout' | 'checkpointSha256'>;
  readonly small: SmallCifar10;
  readonly checkpoint: Buffer;
  close(): Promise<void>;
}

export async function startSource(): Promise<Source> {
  const small = await makeSmallCifar10();
  const path = join(small.folder, 'tiny.safetensors');
  await writeTinyCheckpoint(path);
  const checkpoint = await readFile(path);
  const archive = await readFile(small.officialArchive);
  const server = createServer(async (request, response) => {
    const content = request.url === '/tiny.safetensors' ? checkpoint : archive;
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const range = from > 0 ? { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` } : {};
    const headers = { etag: '"1"', 'content-length': content.length - from, ...range };
    response.writeHead(from > 0 ? 206 : 200, headers);
    const piece = Math.ceil(content.length / 8);
    for (let start = from; start < content.length; start += piece) {
      response.write(content.subarray(start, start + piece));
      await delay(10);
    }
    response.end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const official = { ...small.layout.official, url: `${url}/cifar10` };
  const layout = { ...small.layout, official };
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await remove(small.folder);
  };
  return { url, told: { server: url, layout, checkpointSha256: sha256(checkpoint) }, small, checkpoint, close };
}

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Everything, in processes of their own, as `npm run test:faults` does it; otherwise a short version. */
export const whole = process.env['DGATE_FAULTS'] !== undefined;

/** A run to its end: in a process of its own where there is time for it. */
export async function attempt(told: Told): Promise<Ended> {
  if (whole) return startChild(told).ended;
  const lines: string[] = [];
  const { status, stdout } = await work(told, (line) => lines.push(line));
  return { status, signal: null, stdout, stderr: `${lines.join('\n')}\n` };
}

export interface Child {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly stderr: () => string;
}

export function startChild(told: Told): Child {
  const script = fileURLToPath(new URL('child.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(told)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, err]: string[][] = [[], []];
  child.stdout.setEncoding('utf8').on('data', (text: string) => out!.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => err!.push(text));
  const ended = once(child, 'close').then(([status, signal]): Ended => {
    return { status, signal, stdout: out!.join(''), stderr: err!.join('') } as Ended;
  });
  return { process: child, ended, stderr: () => err!.join('') };
}

/** Looks at every file under its final name, all the time, until it is stopped; each version of a file once. */
export function watch(folder: string, source: Source): { stop(): Promise<{ looked: number; broken: string[] }> } {
  const seen = new Set<string>();
  const broken: string[] = [];
  let running = true;
  const loop = (async () => {
    while (running) {
      for (const name of await filesBelow(folder)) {
        const path = join(folder, name);
        const found = await stat(path).catch(() => undefined);
        if (found === undefined || /\.(tmp|lock|part|part\.json)$|\.tmp\//.test(name)) continue;
        const version = `${name} ${found.ino} ${found.mtimeMs} ${found.size}`;
        if (seen.has(version)) continue;
        const content = await readFile(path).catch(() => undefined);
        if (content === undefined) continue;
        seen.add(version);
        if (!isWhole(name, content, source)) broken.push(`${name}: ${content.length} bytes`);
      }
      await delay(5);
    }
  })();
  return {
    stop: async () => {
      running = false;
      await loop;
      return { looked: seen.size, broken };
    },
  };
}

function isWhole(name: string, content: Buffer, { checkpoint, small }: Source): boolean {
  const hash = /-([0-9a-f]{16})\.(?:safetensors|webp)$/.exec(name)?.[1];
  if (hash !== undefined) return sha256(content).startsWith(hash);
  if (name.endsWith('manifest.json') || name.endsWith('tiny.safetensors.json') || name.endsWith('dataset.json')) {
    return unseal(content.toString()) !== undefined;
  }
  if (name.endsWith('tiny.safetensors')) return content.equals(checkpoint);
  const record = small.records.get(name.replace(/^.*\//, ''));
  if (record !== undefined) return content.equals(record);
  if (name.endsWith('.json')) return isJson(content.toString());
  if (name.endsWith('.html')) return content.toString().trimEnd().endsWith('</html>');
  return content.length > 0 && (content.at(-1) === 10 || name.endsWith('.gz'));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

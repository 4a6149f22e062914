import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { type Downloaded, type DownloadOptions, download, fetchCheckpoint } from '../../src/checkpoints/fetch.js';
import { findCheckpoint } from '../../src/checkpoints/known.js';
import { type Progress, silent } from '../../src/progress.js';
import { sha256 } from '../../src/store/files.js';
import { inFolder, refusal } from './helpers.js';

const content = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, i) => (i * 31 + (i >> 8)) % 251));
const etag = '"v1"';

type Handler = (request: IncomingMessage, response: ServerResponse, visit: number) => unknown;

/** Sends the content, or the range of it that was asked for. */
function sendRange(request: IncomingMessage, response: ServerResponse): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (from === 0 || request.headers['if-range'] !== etag) {
    response.writeHead(200, { etag, 'content-length': content.length }).end(content);
  } else if (from >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
  } else {
    const range = `bytes ${from}-${content.length - 1}/${content.length}`;
    const headers = { etag, 'content-length': content.length - from, 'content-range': range };
    response.writeHead(206, headers).end(content.subarray(from));
  }
}

/** Where the download that is being served keeps what it has. */
let part = '';

/** Announces everything, sends `data` and hangs up once it has been written down: what is not read by then is lost. */
async function cutOff(response: ServerResponse, data: Uint8Array, tag = etag): Promise<void> {
  response.writeHead(200, { etag: tag, 'content-length': content.length });
  response.write(data);
  while ((await stat(part).catch(() => undefined))?.size !== data.length) await delay(5);
  response.destroy();
}

interface Served {
  readonly url: string;
  readonly folder: string;
  readonly to: string;
  /** The range header of each visit. */
  readonly ranges: (string | undefined)[];
  readonly notes: string[];
  get(options?: Partial<DownloadOptions>): Promise<Downloaded>;
}

async function serving<T>(handler: Handler, work: (served: Served) => Promise<T>): Promise<T> {
  const ranges: (string | undefined)[] = [];
  const notes: string[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    handler(request, response, ranges.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/file.bin`;
  const note = (message: string) => void notes.push(message);
  const progress: Progress = { ...silent, note, warn: note };
  try {
    return await inFolder((folder) => {
      const to = join(folder, 'deep', 'file.bin');
      part = `${to}.part`;
      const get = (options: Partial<DownloadOptions> = {}) =>
        download({ urls: [url], to, sha256: sha256(content), backoffMs: 1, stallMs: 60_000, progress, ...options });
      return work({ url, folder, to, ranges, notes, get });
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('download', () => {
  it('fetches a whole file once', async () => {
    await serving(sendRange, async ({ get, to, ranges, folder }) => {
      const first = await get({ sizeBytes: content.length });
      expect(first).to.deep.include({
        path: to,
        bytes: content.length,
        sha256: sha256(content),
        verified: true,
        cached: false,
      });
      expect(sha256(await readFile(to))).to.equal(sha256(content));
      expect(await readdir(join(folder, 'deep'))).to.have.members(['file.bin', 'file.bin.json']);
      expect(await get()).to.deep.include({ cached: true, verified: true });
      expect(ranges).to.have.length(1);
    });
  });

  it('takes no more than a file can have, whether the server says how long it is or never ends', async () => {
    await serving(sendRange, async ({ get, folder }) => {
      await refusal(() => get({ mostBytes: 1000 }), new RegExp(`: is ${content.length} bytes; valid: at most 1000`));
      expect(await readdir(join(folder, 'deep')).catch(() => [])).to.deep.equal([]);
    });
    let sent = 0;
    const endless: Handler = (_request, response) => {
      response.writeHead(200);
      const more = (): void => {
        while (!response.destroyed && response.write(content)) sent += content.length;
      };
      response.on('drain', more);
      more();
    };
    await serving(endless, async ({ get, folder }) => {
      await refusal(
        () => get({ mostBytes: 1_000_000 }),
        /: sends more than the 1000000 bytes of the limit for this file/,
      );
      expect(await readdir(join(folder, 'deep'))).to.deep.equal([]);
      expect(sent).to.be.below(50e6);
    });
  });

  it('goes on where it was cut off, in the same run', async () => {
    const handler: Handler = (request, response, visit) =>
      visit === 1 ? cutOff(response, content.subarray(0, 70_000)) : sendRange(request, response);
    await serving(handler, async ({ get, to, ranges, notes }) => {
      await get();
      expect(sha256(await readFile(to))).to.equal(sha256(content));
      expect(ranges).to.deep.equal([undefined, 'bytes=70000-']);
      expect(notes.join('\n')).to.match(/trying again in .*\n.*resuming at byte 70000/s);
    });
  });

  it('goes on in the next run', async () => {
    let whole = false;
    const handler: Handler = (request, response) =>
      whole ? sendRange(request, response) : cutOff(response, content.subarray(0, 50_000));
    await serving(handler, async ({ get, ranges }) => {
      await refusal(() => get({ attempts: 1 }), /could not be downloaded/);
      whole = true;
      await get();
      expect(ranges).to.deep.equal([undefined, 'bytes=50000-']);
    });
  });

  it('begins anew where the file changed meanwhile', async () => {
    const handler: Handler = (request, response, visit) => {
      return visit === 1 ? cutOff(response, Buffer.alloc(60_000), '"v0"') : sendRange(request, response);
    };
    await serving(handler, async ({ get, to }) => {
      await get();
      expect(sha256(await readFile(to))).to.equal(sha256(content));
    });
  });

  it('begins anew where a server ignores If-Range and answers with a part of another file', async () => {
    const handler: Handler = (request, response, visit) => {
      if (visit === 1) return cutOff(response, content.subarray(0, 60_000));
      if (request.headers.range === undefined) return sendRange(request, response);
      const range = `bytes 60000-${content.length - 1}/${content.length}`;
      return response
        .writeHead(206, { etag: '"v2"', 'content-range': range })
        .end(Buffer.alloc(content.length - 60_000));
    };
    await serving(handler, async ({ get, to }) => {
      await get({ sha256: undefined });
      expect(sha256(await readFile(to))).to.equal(sha256(content));
    });
  });

  it('manages without ranges', async () => {
    const handler: Handler = (_request, response, visit) =>
      visit === 1
        ? cutOff(response, content.subarray(0, 70_000))
        : response.writeHead(200, { 'content-length': content.length }).end(content);
    await serving(handler, async ({ get, to }) => {
      await get();
      expect((await readFile(to)).equals(content)).to.equal(true);
    });
  });

  it('takes a part that was whole already', async () => {
    await serving(sendRange, async ({ get, to, url, ranges }) => {
      await get();
      const { rename } = await import('node:fs/promises');
      await rename(to, `${to}.part`);
      await writeFile(`${to}.part.json`, JSON.stringify({ url, validator: etag }));
      await get();
      expect(ranges[1]).to.equal(`bytes=${content.length}-`);
      expect(ranges).to.have.length(2);
    });
  });

  it('removes a file with the wrong hash and says both hashes', async () => {
    await serving(sendRange, async ({ get, folder }) => {
      const wrong = '0'.repeat(64);
      await refusal(
        () => get({ sha256: wrong }),
        new RegExp(`sha256 is ${sha256(content)}, expected ${wrong}; the download was removed`),
      );
      expect(await readdir(join(folder, 'deep'))).to.deep.equal([]);
      await refusal(() => get({ sha256: 'deadbeef' }), /expected deadbeef\.\.\./);
      expect((await get({ sha256: sha256(content).slice(0, 8) })).verified).to.equal(true);
    });
  });

  it('refuses a file that announces another size, or sends more than it announces', async () => {
    await serving(sendRange, async ({ get }) => {
      await refusal(() => get({ sizeBytes: 10 }), /is 200000 bytes, expected 10/);
    });
    await serving(
      (_request, response) => response.writeHead(200).end(content),
      async ({ get }) => {
        await refusal(() => get({ sizeBytes: 10, attempts: 1 }), /sends more than the 10 bytes/);
      },
    );
  });

  it('says and records a hash that could not be checked', async () => {
    await serving(sendRange, async ({ get, to, notes }) => {
      expect(await get({ sha256: undefined })).to.deep.include({ verified: false, sha256: sha256(content) });
      expect(notes.join('\n')).to.include(`sha256 ${sha256(content)} (no known hash to check it with; recorded)`);
      expect(JSON.parse(await readFile(`${to}.json`, 'utf8'))).to.include({ sha256: sha256(content) });
      await writeFile(to, 'damaged');
      expect(await get({ sha256: undefined })).to.deep.include({ cached: false, bytes: content.length });
      expect(notes.join('\n')).to.match(/expected .*; fetching it again/);
    });
  });

  it('gives up on a stalled server', async () => {
    const handler: Handler = (_request, response) => {
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 10));
    };
    await serving(handler, async ({ get, ranges }) => {
      await refusal(() => get({ stallMs: 100, attempts: 2 }), /no data for 0\.1 s/);
      // One more where the first ten bytes came late: attempts are counted from the last that brought a byte.
      expect(ranges.length).to.be.within(2, 3);
    });
  });

  it('retries what may pass, not what will not, and tries every mirror', async () => {
    const handler: Handler = (request, response, visit) => {
      if (request.url === '/gone') return response.writeHead(404).end();
      return visit < 4 ? response.writeHead(503).end() : sendRange(request, response);
    };
    await serving(handler, async ({ get, url, ranges, folder }) => {
      const gone = url.replace('file.bin', 'gone');
      await get({ urls: [gone, url] });
      expect(ranges).to.have.length(4);
      const error = await refusal(() => get({ urls: [gone], to: join(folder, 'other') }), /HTTP 404/);
      expect(error.problems).to.have.length(2);
    });
  });

  it('names the cause where nobody answers', async () => {
    await inFolder(async (folder) => {
      const quick = { attempts: 2, backoffMs: 1, progress: silent };
      const options = { urls: ['http://127.0.0.1:1/x'], to: join(folder, 'x'), ...quick };
      const error = await refusal(() => download(options), /127\.0\.0\.1:1\/x: .+/);
      expect(error.message).not.to.match(/fetch failed/);
    });
  });

  it('names a fetched checkpoint after its id', async () => {
    await serving(sendRange, async ({ url, folder }) => {
      const known = { ...findCheckpoint('edadaltocg-resnet18-cifar10'), urls: [url], sha256: sha256(content) };
      const { path } = await fetchCheckpoint(known, folder, silent);
      expect(path).to.equal(join(folder, 'edadaltocg-resnet18-cifar10.bin'));
    });
  });
});

/** The process of `IsolatedRuntime`: opens and runs one model after another. Its argument is the descriptor of models. */
import { readFileSync, readSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { messageOf } from '../../errors.js';
import type { RunValue } from '../../onnx/graph/probe.js';
import { endWithParent } from '../../store/processes.js';
import * as ort from './ort.js';
import type { Answer, Ask } from './session.js';

let session: ort.InferenceSession | undefined;

async function answer(ask: Ask): Promise<Answer> {
  if ('modelBytes' in ask) {
    const model = readModel(ask.modelBytes);
    await session?.release();
    session = undefined;
    session = await ort.InferenceSession.create(model, ask.options);
    return { opened: true };
  }
  const { found, ms } = await ort.runFeeds(session!, ask.feeds, ask.outputs);
  const values = Object.entries(found).map(([name, tensor]) => {
    const { type, dims, data } = tensor;
    if (!ArrayBuffer.isView(data)) throw new Error(`output ${name} is of type ${type}`);
    return { name, type, dims: [...dims], data: data as RunValue['data'] };
  });
  const bytes = values.reduce((sum, { data }) => sum + data.byteLength, 0);
  if (bytes > ask.mostBytes) throw new Error(`its outputs are ${(bytes / 1e6).toFixed(0)} MB`);
  return { values, ms, peakBytes: await peakBytes() };
}

let hasRun = false;

/**
 * Most memory that this process has held since its first run, in bytes; after that run what it holds. On Linux: `maxRSS` would count
 * the parent's before `exec`, and what starting took. Elsewhere: since its start.
 */
async function peakBytes(): Promise<number> {
  if (!hasRun) await writeFile('/proc/self/clear_refs', '5').catch(() => {});
  hasRun = true;
  return 1024 * Number(/VmHWM:\s*(\d+)/.exec(processStatus())?.[1] ?? process.resourceUsage().maxRSS);
}

/** Empty off Linux. Its size is 0 by `stat`, so a reader of regular files finds nothing. */
function processStatus(): string {
  try {
    return readFileSync('/proc/self/status', 'utf8');
  } catch {
    return '';
  }
}

function readModel(bytes: number): Uint8Array {
  const model = Buffer.allocUnsafe(bytes);
  for (let done = 0; done < bytes; ) {
    const count = readSync(Number(process.argv[2]), model, done, bytes - done, null);
    if (count === 0) process.exit(1); // the parent has ended
    done += count;
  }
  return model;
}

process.on('message', (ask: Ask) => {
  answer(ask)
    .catch((error: unknown): Answer => ({ refused: messageOf(error) }))
    .then((found) => process.send!(found));
});
process.once('disconnect', () => process.exit(0)); // ONNX Runtime may leave threads behind
endWithParent(process.ppid); // native code that never returns would not receive 'disconnect'

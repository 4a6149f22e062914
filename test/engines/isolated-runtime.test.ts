import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import {
  IsolatedRuntime,
  type Limits,
  limitsFor,
  type OpenSession,
  openIsolated,
} from '../../src/engines/onnxruntime/session.js';
import { InputError } from '../../src/errors.js';
import { GraphBuilder } from '../../src/onnx/builder.js';
import { decodeModel } from '../../src/onnx/proto.js';

/** Doubles a number. */
function doubling(): Uint8Array {
  const graph = new GraphBuilder('doubling');
  const x = graph.input('x', 'float', [1]);
  graph.output(graph.node('Add', [x, x], {}, 'y'), 'float', [1]);
  return graph.encode();
}

/** Counts to 2^62. */
function endless(): Uint8Array {
  const graph = new GraphBuilder('endless');
  const body = graph.branch('body');
  body.input('i', 'int64', []);
  const goOn = body.input('go_on', 'bool', []);
  const value = body.input('value', 'float', [1]);
  body.output(body.node('Identity', [goOn], {}, 'still'), 'bool', []);
  body.output(body.node('Add', [value, value], {}, 'next'), 'float', [1]);
  const count = graph.constant('count', BigInt64Array.of(2n ** 62n), []);
  const x = graph.input('x', 'float', [1]);
  graph.output(graph.node('Loop', [count, '', x], { body: { graph: body.graph() } }, 'y'), 'float', [1]);
  return graph.encode();
}

/** Wants 16 GB. */
function gigantic(): Uint8Array {
  const graph = new GraphBuilder('gigantic');
  const x = graph.input('x', 'float', [1]);
  const wide = graph.node('Expand', [x, graph.ints('shape', [4_000_000_000])]);
  graph.output(graph.node('Exp', [wide], {}, 'y'), 'float', ['n']);
  return graph.encode();
}

const one = { x: { type: 'float32', dims: [1], data: Float32Array.of(3) } } as const;
const limits: Limits = { seconds: 600, memoryMb: 2000, outputMb: 10 };

/** The line that comes of opening and running a model. */
async function refusal(model: Uint8Array, open: OpenSession): Promise<string> {
  try {
    const session = await open(model, { logSeverityLevel: 4 });
    try {
      await session.run(one);
    } finally {
      await session.close();
    }
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    expect(error.problems).to.have.length(1);
    return error.problems[0]!;
  }
  return 'nothing was refused';
}

describe('ONNX Runtime in a process of its own', () => {
  it('runs a model as here, and takes one after the other', async () => {
    const runtime = new IsolatedRuntime(limits, 'another');
    for (const model of [doubling(), doubling()]) {
      const { run } = await runtime.open(model, 'double.onnx');
      const { values, ms } = await run(one);
      expect([...values.keys()]).to.deep.equal(['y']);
      expect(values.get('y')!.data).to.deep.equal(Float32Array.of(6));
      expect(ms).to.be.at.least(0);
    }
    await runtime.end();
    expect(runtime.isEnded).to.equal(true);
  });

  it('a refusal is a line, and the process goes on', async () => {
    const runtime = new IsolatedRuntime(limits, 'another');
    const text = new TextEncoder().encode('no model');
    const error = await runtime.open(text, 'text.onnx', { logSeverityLevel: 4 }).catch((thrown: unknown) => thrown);
    expect(error)
      .to.be.instanceOf(InputError)
      .with.property('message')
      .match(/^text\.onnx: ONNX Runtime refuses it: /);
    expect(runtime.isEnded).to.equal(false);
    await (await runtime.open(doubling(), 'double.onnx')).run(one);
    await runtime.end();
  });

  it('one that never ends is ended after its time', async () => {
    const line = await refusal(endless(), openIsolated('endless.onnx', 'another', { ...limits, seconds: 2 }));
    expect(line).to.match(
      /^endless\.onnx: ONNX Runtime's process had not answered after 2 s \(a busy machine, or a graph without end\) and was ended when/,
    );
    expect(line).to.match(/; valid: the file on an idle machine, or another$/);
  });

  it('one that wants more memory than it may have does not get it', async function () {
    if (process.platform !== 'linux') this.skip();
    const line = await refusal(gigantic(), openIsolated('gigantic.onnx', 'another', limits));
    expect(line).to.match(/^gigantic\.onnx: ONNX Runtime('s process)? wanted more than 2000 MB of memory/);
  });

  it('one whose answer is larger than it may be is refused', async () => {
    const line = await refusal(doubling(), openIsolated('large.onnx', 'another', { ...limits, outputMb: 0.000_001 }));
    expect(line).to.match(/^large\.onnx: ONNX Runtime refuses it: its outputs are/);
  });

  it('one that ends its process, as a bad address does, ends that process only', async () => {
    const runtime = new IsolatedRuntime(limits, 'another');
    const opened = runtime.open(endless(), 'deadly.onnx').catch((thrown: unknown) => thrown);
    process.kill(runtime.pid!, 'SIGSEGV'); // before it can have opened anything
    const error = await opened;
    expect(error).to.be.instanceOf(InputError);
    expect((error as InputError).message).to.equal(
      "deadly.onnx: ONNX Runtime's process ended (SIGSEGV) when it was opened; valid: another",
    );
  });

  it('goes after its parent was killed, whatever it computes', async function () {
    if (process.platform !== 'linux') this.skip();
    const script = fileURLToPath(new URL('isolated-parent.ts', import.meta.url));
    const parent = spawn(process.execPath, ['--import', 'tsx', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    parent.stdin.end(endless());
    const [said] = (await once(parent.stdout, 'data')) as [Buffer];
    const child = Number(said.toString());
    expect(isThere(child)).to.equal(true);
    while (processorSeconds(child) < 4) await delay(100); // starting takes it one or two
    parent.kill('SIGKILL');
    while (isThere(child)) await delay(100); // the test's own time limit ends it
  });

  it('has limits that grow with the file', () => {
    expect(limitsFor(0).seconds).to.be.at.least(30);
    expect(limitsFor(200e6).memoryMb).to.be.above(limitsFor(4e6).memoryMb + 1000);
    expect(decodeModel(endless()).graph.node).to.have.length(1);
  });
});

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** What a process has used of its processor; the kernel counts in hundredths. */
function processorSeconds(pid: number): number {
  const [, ...fields] = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '0 ')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

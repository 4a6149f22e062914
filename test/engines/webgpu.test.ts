import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { webGpuEngines } from './available.js';

/** What mocha's JSON reporter writes, as far as it is read here. */
interface MochaReport {
  readonly passes: readonly { readonly title: string }[];
  readonly failures: readonly { readonly fullTitle: string; readonly err: { readonly message?: string } }[];
}

interface ChildRun {
  readonly report: MochaReport | undefined;
  readonly output: string;
}

/**
 * Runs the tests of one engine, a second time where the process died before it could report: on the software driver the
 * WebGPU library aborts now and then (std::system_error). A test that fails is not repeated.
 */
async function runPatiently(id: string): Promise<ChildRun> {
  const first = await runAlone(id);
  if (first.report !== undefined) return first;
  process.stdout.write(`      ${id}: the process died (${first.output.trim().split('\n').at(-1)}); once more\n`);
  return runAlone(id);
}

/** For a process that hangs. A software driver compiles shaders for a minute, all four networks (DGATE_GPU=1) take it many. */
const LIMIT_MS = process.env['DGATE_GPU'] === '1' ? 3_600_000 : 1_200_000;

/** Runs the tests of one engine in a process of its own. */
async function runAlone(id: string): Promise<ChildRun> {
  const folder = await mkdtemp(join(tmpdir(), 'dgate-webgpu-'));
  const file = join(folder, 'report.json');
  const tests = ['agreement', 'parity', 'gated-tfjs'].map((name) =>
    fileURLToPath(new URL(`./${name}.test.ts`, import.meta.url)),
  );
  const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
  const reporter = ['--reporter', 'json', '--reporter-option', `output=${file}`];
  // Without a configuration each test would have mocha's 2 s.
  const options = ['--no-config', '--node-option', 'import=tsx', '--timeout', String(LIMIT_MS)];
  const args = [mocha, ...options, ...reporter, ...tests];
  const env = { ...process.env, DGATE_TEST_ENGINE: id };
  const output = await new Promise<string>((done) => {
    execFile(process.execPath, args, { env, timeout: LIMIT_MS }, (_, stdout, stderr) => done(`${stdout}${stderr}`));
  });
  try {
    return { report: JSON.parse(await readFile(file, 'utf8')) as MochaReport, output };
  } catch {
    return { report: undefined, output }; // it ended before it could write
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('WebGPU engines, each in a process of its own', function () {
  this.timeout(0); // each process has its limit, and may be run twice
  let runs: Map<string, Promise<ChildRun>>;
  before(() => {
    runs = new Map(webGpuEngines.map((id) => [id, runPatiently(id)])); // both at a time
  });

  for (const id of webGpuEngines) {
    it(`${id} agrees with ort-cpu on every layer and gradient and with PyTorch on ResNet-20`, async function () {
      const { report, output } = await runs.get(id)!;
      expect(report, output).not.to.equal(undefined);
      expect(report!.failures.map(({ fullTitle, err }) => `${fullTitle}: ${err.message}`)).to.deep.equal([]);
      const reason = /skipped: (.*)/.exec(output)?.[1];
      if (reason !== undefined && process.env['DGATE_GPU'] !== '1') {
        process.stdout.write(`      skipped: ${reason}\n`);
        this.skip();
      }
      expect(report!.passes.length, output).to.be.at.least(2);
    });
  }
});

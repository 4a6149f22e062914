import { expect } from 'chai';
import { type Machine, renderReport } from '../../src/cli/commands/doctor.js';
import type { Diagnosis } from '../../src/engines/doctor/diagnose.js';
import { listEngines } from '../../src/engines/registry.js';
import { makePlace, type Place, runCli } from './cli.js';

describe('dgate doctor', () => {
  let place: Place;
  before(async () => {
    place = await makePlace();
  });
  after(() => place.remove());

  it('--json is one document: the machine, and of every engine its speed or why it does not work', async () => {
    const env = { VK_ICD_FILENAMES: '/no/driver.json' }; // software graphics drivers take a minute
    const { status, stdout, stderr } = await runCli(['doctor', '--json', ...place.options], { env });
    expect(status, stderr).to.equal(0);
    const document = JSON.parse(stdout) as { machine: Machine; auto: string; engines: Diagnosis[] };
    expect(document).to.have.all.keys('version', 'machine', 'auto', 'engines');
    expect(document.auto).to.equal('ort-cpu');
    expect(document.machine).to.have.all.keys('cpu', 'cores', 'nvidiaGpus', 'platform', 'node');
    expect(document.machine).to.deep.include({
      node: process.versions.node,
      platform: `${process.platform} ${process.arch}`,
    });
    expect(document.engines.map(({ id }) => id)).to.deep.equal(listEngines().map(({ id }) => id));
    for (const engine of document.engines) {
      if (engine.works) {
        const { gflopsPerSecond, imagesPerSecond, batch, device, threads } = engine;
        for (const number of [gflopsPerSecond, imagesPerSecond, batch, threads]) expect(number).to.be.greaterThan(0);
        expect(device).not.to.equal('');
      } else {
        expect(engine).to.have.all.keys('works', 'id', 'reason', 'command');
        for (const text of [engine.reason, engine.command]) expect(text).to.match(/^\S.*$/);
      }
    }
    const works = Object.fromEntries(document.engines.map((engine) => [engine.id, engine.works]));
    expect(works).to.include({ 'ort-cpu': true, 'tfjs-wasm': true, 'tfjs-cpu': true });
    expect(stderr).to.match(/engines checked: done in [\d.]+ s/);
  });

  it('refuses what only --setup takes', async () => {
    const { status, stdout, stderr } = await runCli(['doctor', '--gpu', '--wheel', 'x.whl', ...place.options]);
    expect([status, stdout]).to.deep.equal([2, '']);
    expect(stderr).to.equal('dgate: --gpu: only with --setup tfjs-node\n');
    const wheel = await runCli(['doctor', '--wheel', 'x.whl', ...place.options]);
    expect([wheel.status, wheel.stderr]).to.deep.equal([2, 'dgate: --wheel: only with --setup\n']);
    const sites = await runCli(['doctor', '--setup', 'ort-cuda', '--site-packages', 'x', ...place.options]);
    expect([sites.status, sites.stderr]).to.deep.equal([2, 'dgate: --site-packages: only with --setup tfjs-node\n']);
    const other = await runCli(['doctor', '--setup', 'ort-cpu', ...place.options]);
    expect(other.status).to.equal(2);
    expect(other.stderr).to.match(/^dgate: setup: "ort-cpu"; valid: "tfjs-node"/);
  });
});

describe("the doctor's report", () => {
  const machine: Machine = { cpu: 'A Processor', cores: 2, nvidiaGpus: [], platform: 'linux x64', node: '20.19.0' };
  const engines: readonly Diagnosis[] = [
    {
      works: true,
      id: 'ort-cpu',
      device: 'A Processor',
      threads: 2,
      versions: {},
      gflopsPerSecond: 46.6,
      imagesPerSecond: 570.4,
      batch: 32,
    },
    {
      works: true,
      id: 'tfjs-cpu',
      device: 'A Processor',
      threads: 1,
      versions: {},
      gflopsPerSecond: 0.318,
      imagesPerSecond: 3.96,
      batch: 1,
    },
    { works: false, id: 'ort-cuda', reason: 'no CUDA libraries', command: 'install them' },
  ];

  it('has a row for every engine, and under the table why some do not work and what would change it', async () => {
    const lines = (await renderReport(machine, engines)).split('\n');
    expect(lines[0]).to.equal('A Processor, 2 cores; NVIDIA GPUs: none; linux x64, Node 20.19.0');
    const rows = lines.filter((line) => line.startsWith('│')).map((line) => line.split('│').map((cell) => cell.trim()));
    expect(rows.map((row) => row.slice(1, -1))).to.deep.equal([
      ['Engine', 'Works', 'GFLOP/s', 'Images/s', 'Batch', 'Device'],
      ['ort-cpu', 'yes', '47', '570', '32', 'A Processor'],
      ['tfjs-cpu', 'yes', '0.32', '4.0', '1', 'A Processor'],
      ['ort-cuda', 'no', '', '', '', ''],
    ]);
    expect(lines.slice(-3)).to.deep.equal(['ort-cuda: no CUDA libraries', '  run: install them', '']);
  });

  it('names the GPUs that there are', async () => {
    const text = await renderReport({ ...machine, nvidiaGpus: ['H100, 80 GB, 550', 'H100, 80 GB, 550'] }, engines);
    expect(text).to.contain('NVIDIA GPUs: H100, 80 GB, 550; H100, 80 GB, 550;');
  });
});

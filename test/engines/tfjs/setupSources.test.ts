import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { chooseWheel, type Placing, placeTensorFlow } from '../../../src/engines/tfjs/setup/tensorflow.js';
import { problemOf, temporaryFolder, tensorflowFiles, writeWheel } from './wheels.js';

const isArm = process.arch === 'arm64';
const DISTRIBUTION = isArm ? 'tensorflow' : 'tensorflow-cpu';
const tag = `cp311-cp311-manylinux_2_27_${isArm ? 'aarch64' : 'x86_64'}`;
const CPU_WHEEL = `${DISTRIBUTION.replace('-', '_')}-2.21.0-${tag}.whl`;

describe('tfjs-node set-up: the wheel for a machine', () => {
  const choices = [
    [{ gpu: false, arch: 'x64', glibcMinor: 36 }, 'tensorflow-cpu', '2.21.0'],
    [{ gpu: true, arch: 'x64', glibcMinor: 27 }, 'tensorflow', '2.21.0'],
    [{ gpu: false, arch: 'arm64', glibcMinor: 40 }, 'tensorflow', '2.21.0'],
    [{ gpu: false, arch: 'x64', glibcMinor: 26 }, 'tensorflow-cpu', '2.16.2'],
    [{ gpu: false, arch: 'x64', glibcMinor: 17 }, 'tensorflow-cpu', '2.16.2'],
  ] as const;
  for (const [machine, distribution, version] of choices) {
    it(`is ${distribution} ${version} for ${machine.arch}${machine.gpu ? ' with CUDA' : ''}, glibc 2.${machine.glibcMinor}`, () => {
      expect(chooseWheel(machine)).to.deep.equal({ distribution, version });
    });
  }

  it('is none where glibc is older than every wheel', async () => {
    expect(await problemOf(() => chooseWheel({ gpu: false, arch: 'x64', glibcMinor: 16 }))).to.equal(
      'glibc 2.16 is too old for TensorFlow; use a newer Linux',
    );
  });
});

describe("tfjs-node set-up: TensorFlow's libraries and headers", () => {
  const folder = temporaryFolder();
  let lines: string[];
  beforeEach(() => {
    lines = [];
    mkdirSync(join(folder(), 'deps/lib'), { recursive: true });
    mkdirSync(join(folder(), 'work'));
  });

  const place = (options: Partial<Placing> = {}): ReturnType<typeof placeTensorFlow> =>
    placeTensorFlow({
      deps: join(folder(), 'deps'),
      work: join(folder(), 'work'),
      folder: folder(),
      cache: join(folder(), 'cache'),
      glibcMinor: 31,
      log: (line) => lines.push(line),
      ...options,
    });

  function checkPlaced(): void {
    for (const name of ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']) {
      expect(readFileSync(join(folder(), 'deps/lib', name), 'utf8')).to.equal(tensorflowFiles[`tensorflow/${name}`]);
    }
    expect(existsSync(join(folder(), 'deps/include/tensorflow/c/c_api.h'))).to.equal(true);
    expect(existsSync(join(folder(), 'deps/include/tensorflow/core/graph.h'))).to.equal(false);
  }

  it('come from a wheel that is given', async () => {
    const wheel = writeWheel(folder(), CPU_WHEEL);
    expect(await place({ wheel })).to.deep.equal({ source: CPU_WHEEL, gpu: false });
    checkPlaced();
    expect(lines).to.deep.equal([
      `extracting ${CPU_WHEEL} to ${join(folder(), 'cache', CPU_WHEEL.replace('.whl', ''))}`,
    ]);
  });

  it('are kept in the cache, and come from there the next time', async () => {
    const cache = join(folder(), 'cache');
    const wheel = writeWheel(folder(), CPU_WHEEL);
    await place({ wheel, cache });
    checkPlaced();
    rmSync(wheel);
    rmSync(join(folder(), 'deps'), { recursive: true });
    mkdirSync(join(folder(), 'deps/lib'), { recursive: true });
    expect(await place({ cache })).to.deep.equal({ source: CPU_WHEEL.replace('.whl', ''), gpu: false });
    checkPlaced();
    expect(lines.at(-1)).to.match(/^taking TensorFlow from .*tensorflow\S*-2\.21\.0-\S+$/);
    expect(readdirSync(cache)).to.deep.equal([CPU_WHEEL.replace('.whl', '')]); // and nothing half done
  });

  it('leave nothing in the cache where the wheel is damaged', async () => {
    const cache = join(folder(), 'cache');
    const wheel = writeWheel(folder(), CPU_WHEEL, { record: (text) => text.replace(/(framework.*sha256=)./, '$1-') });
    expect(await problemOf(() => place({ wheel, cache }))).to.match(/does not match the wheel's record/);
    expect(readdirSync(cache)).to.deep.equal([]);
  });

  it('come from an installed TensorFlow, linked, with its CUDA libraries where it has them', async () => {
    const site = join(folder(), 'site-packages');
    for (const [name, text] of Object.entries(tensorflowFiles)) {
      mkdirSync(dirname(join(site, name)), { recursive: true });
      writeFileSync(join(site, name), text);
    }
    expect(await place({ sitePackages: site })).to.deep.equal({ source: join(site, 'tensorflow'), gpu: false });
    checkPlaced();
    const linked = lstatSync(join(folder(), 'deps/lib/libtensorflow_cc.so.2'));
    expect(linked.isSymbolicLink() || linked.nlink === 2).to.equal(true);
    mkdirSync(join(site, 'nvidia'));
    expect(await place({ sitePackages: site })).to.deep.include({ gpu: true, nvidia: join(site, 'nvidia') });
  });

  it('are refused in one line where there are none', async () => {
    expect(await problemOf(() => place({ wheel: join(folder(), 'no.whl') }))).to.match(
      /no\.whl is not a file; give the path of a wheel$/,
    );
    expect(await problemOf(() => place({ wheel: folder() }))).to.match(/is not a file; give the path of a wheel$/);
    expect(await problemOf(() => place({ sitePackages: folder() }))).to.match(
      /tensorflow has no libtensorflow_cc\.so\.2; give the folder that `pip show tensorflow` calls Location$/,
    );
    const cpu = writeWheel(folder(), 'tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl');
    expect(await problemOf(() => place({ wheel: cpu, gpu: true }))).to.match(/is a CPU build; for --gpu give a wheel/);
    const bare = writeWheel(folder(), `tensorflow-2.21.0-${tag}.whl`);
    expect(await problemOf(() => place({ wheel: bare, gpu: true }))).to.match(/names no CUDA packages; pip install/);
  });

  describe('fetched with pip', () => {
    const path = process.env['PATH'];
    before(function () {
      if (process.platform === 'win32') this.skip(); // no scripts of this kind; the set-up is for Linux
    });
    afterEach(() => {
      process.env['PATH'] = path;
    });

    /** Puts a `python3` first in the search path that writes its arguments down and does what `script` says. */
    function fakePython(script: string): void {
      const bin = join(folder(), 'bin');
      mkdirSync(bin);
      const said = `printf '%s\\n' "$@" >> "${join(folder(), 'arguments')}"\n`;
      writeFileSync(join(bin, 'python3'), `#!/bin/sh\n${said}${script}\n`);
      chmodSync(join(bin, 'python3'), 0o755);
      process.env['PATH'] = `${bin}:${path}`;
    }
    const askedFor = (): string[] => readFileSync(join(folder(), 'arguments'), 'utf8').trim().split('\n');

    it('are those of the wheel for this machine, without its Python dependencies', async () => {
      mkdirSync(join(folder(), 'index'));
      const wheel = writeWheel(join(folder(), 'index'), CPU_WHEEL);
      fakePython(`mkdir -p "${join(folder(), 'work/wheel')}" && cp "${wheel}" "${join(folder(), 'work/wheel')}"`);
      expect(await place()).to.deep.equal({ source: CPU_WHEEL, gpu: false });
      checkPlaced();
      const asked = askedFor();
      expect(asked.slice(0, 3)).to.deep.equal(['-m', 'pip', 'download']);
      expect(asked.at(-1)).to.equal(`${DISTRIBUTION}==2.21.0`);
      expect(asked).to.include.members(['--no-deps', '--only-binary=:all:', '-d', join(folder(), 'work/wheel')]);
      const platforms = asked.filter((_, i) => asked[i - 1] === '--platform');
      const arch = isArm ? 'aarch64' : 'x86_64';
      expect(platforms[0]).to.equal(`manylinux_2_31_${arch}`);
      expect(platforms.slice(-2)).to.deep.equal([`manylinux_2_17_${arch}`, `manylinux2014_${arch}`]);
    });

    it('bring the CUDA libraries that the wheel names', async function () {
      if (isArm) this.skip();
      const requires = ["Requires-Dist: nvidia-cudnn-cu12<10.0,>=9.3; extra == 'and-cuda'"];
      const wheel = writeWheel(folder(), `tensorflow-2.21.0-${tag}.whl`, { requires });
      fakePython('exit 0');
      expect(await place({ wheel, gpu: true })).to.deep.include({ gpu: true, nvidia: 'cuda/nvidia' });
      const asked = askedFor();
      expect([asked[2], asked.at(-1)]).to.deep.equal(['install', 'nvidia-cudnn-cu12<10.0,>=9.3']);
      expect(asked[asked.indexOf('--target') + 1]).to.equal(join(folder(), 'deps/cuda'));
    });

    const failures: readonly (readonly [string, string, RegExp])[] = [
      [
        'does not find the version',
        "echo 'ERROR: Could not find a version that satisfies the requirement tensorflow-cpu==2.21.0 (from versions: none)' >&2; exit 1",
        /pip could not fetch tensorflow\S* 2\.21\.0: Could not find a version that satisfies the requirement tensorflow-cpu==2\.21\.0 \(check the network/,
      ],
      ['is missing', "echo '/usr/bin/python3: No module named pip' >&2; exit 1", /python3 has no pip; apt-get install/],
      ['leaves no wheel', 'mkdir -p "$(dirname "$0")/../work/wheel"', /pip left no wheel of .*; give --wheel FILE$/],
    ];
    for (const [what, script, expected] of failures) {
      it(`are refused in one line where pip ${what}`, async () => {
        fakePython(script);
        expect(await problemOf(() => place())).to.match(expected);
      });
    }

    it('are refused in one line where there is no Python', async () => {
      process.env['PATH'] = folder();
      expect(await problemOf(() => place())).to.match(/python3 is not installed; apt-get install python3-pip, or give/);
    });
  });
});

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, realpathSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { lockSetup, oneLine } from '../../../src/engines/setup.js';
import {
  type AddonPackage,
  checkSymbols,
  compileAddon,
  findPackage,
  functionsIn,
  smokeTest,
} from '../../../src/engines/tfjs/setup/index.js';
import { seal } from '../../../src/json.js';
import { thisProcess } from '../../../src/store/processes.js';
import { problemOf, temporaryFolder } from './wheels.js';

const hasTools =
  process.platform === 'linux' && ['cc', 'nm'].every((tool) => spawnSync(tool, ['--version']).status === 0);

describe('tfjs-node set-up: the C functions that the addon calls', () => {
  const folder = temporaryFolder();

  it('are read from what nm prints, without versions, C++ functions and those of other libraries', () => {
    const output = [
      '                 U TFE_NewOp@tensorflow',
      '                 U TF_Version@@tensorflow',
      '                 U napi_create_object',
      '                 w TF_Weak_Reference',
      '00000000017aca00 T TF_NewTensor',
      '00000000017aca00 T _ZN10tensorflow8TF_OtherEv@@tensorflow',
      '00000000017aca00 D TF_Data',
      '00000000017aca00 T MY_TF_Function',
    ].join('\n');
    expect(functionsIn(output)).to.deep.equal(['TFE_NewOp', 'TF_Version', 'TF_NewTensor']);
    expect(functionsIn('')).to.deep.equal([]);
  });

  /** A shared library of C functions. */
  function library(name: string, source: string): string {
    const [from, to] = [join(folder(), `${name}.c`), join(folder(), name)];
    writeFileSync(from, source);
    const { status, stderr } = spawnSync('cc', ['-shared', '-fPIC', '-o', to, from], { encoding: 'utf8' });
    expect(status, stderr).to.equal(0);
    return to;
  }

  it('are all exported by the libraries, or those missing are named', async function () {
    if (!hasTools) return void this.skip(); // no C compiler
    const [cc, framework] = [
      library('cc.so', 'void TFE_NewOp(void) {} int TF_Loaded = 1;'),
      library('framework.so', 'void TF_NewTensor(void) {} static void TF_Hidden(void) {}'),
    ];
    const good = library(
      'good.node',
      'void TFE_NewOp(void); void TF_NewTensor(void); void f(void) { TFE_NewOp(); TF_NewTensor(); }',
    );
    expect(checkSymbols(good, [cc, framework])).to.equal(2);
    const calls =
      'void TFE_NewOp(void); void TF_Hidden(void); void TF_Loaded(void); void f(void) { TFE_NewOp(); TF_Hidden(); TF_Loaded(); }';
    const bad = library('bad.node', calls);
    expect(await problemOf(() => checkSymbols(bad, [cc, framework]))).to.match(
      /cc\.so and framework\.so lack TF_(Hidden, TF_Loaded|Loaded, TF_Hidden), which the addon calls; try another wheel/,
    );
    const none = library('none.node', 'void f(void) {}');
    expect(await problemOf(() => checkSymbols(none, [cc]))).to.match(/none\.node calls no function of TensorFlow/);
    const text = join(folder(), 'none.node.c');
    expect(await problemOf(() => checkSymbols(text, [cc]))).to.match(/none\.node\.c is not a Linux library: /);
  });

  it('are all exported by the libraries of the addon that is set up here', function () {
    const addon = installed();
    if (addon === undefined || !hasTools) {
      process.stdout.write('      skipped: tfjs-node has no addon here; run: dgate doctor --setup tfjs-node\n');
      return void this.skip();
    }
    const lib = join(addon.folder, 'deps/lib');
    const files = new Set(readdirSync(lib).map((name) => realpathSync(join(lib, name))));
    expect(checkSymbols(addon.addon, [...files])).to.be.within(40, 70);
  });
});

function installed(): AddonPackage | undefined {
  try {
    const addon = findPackage();
    return existsSync(addon.addon) ? addon : undefined;
  } catch {
    return undefined; // not installed
  }
}

describe('tfjs-node set-up: compiling and trying the addon', () => {
  const folder = temporaryFolder();
  const addon = (): AddonPackage => ({
    name: '@tensorflow/tfjs-node-gpu',
    version: '4.22.0',
    folder: folder(),
    napi: 8,
    addon: join(folder(), 'tfjs_binding.node'),
  });
  const { CXX } = process.env;
  afterEach(() => {
    if (CXX === undefined) delete process.env['CXX'];
    else process.env['CXX'] = CXX;
  });
  const compile = (): void => compileAddon(addon(), join(folder(), 'deps'), join(folder(), 'out'), folder(), () => {});

  it('says which compiler is missing', async function () {
    if (installed() === undefined) return void this.skip(); // Node's headers might have to be fetched
    process.env['CXX'] = 'no-such-compiler -v';
    expect(await problemOf(compile)).to.equal(
      'no C++ compiler (no-such-compiler -v); run: apt-get install g++ (or set CXX)',
    );
  });

  it("says the compiler's most telling line", async function () {
    if (installed() === undefined || !hasTools) return void this.skip();
    process.env['CXX'] = 'cc'; // the sources are not there
    expect(await problemOf(compile)).to.match(/the addon did not compile: .*tfjs_backend\.cc.*No such file/);
  });

  it('tells an addon that is missing from one that does not load', () => {
    expect(smokeTest(addon())).to.deep.equal({ works: false, why: `${addon().addon} does not exist` });
    writeFileSync(addon().addon, '');
    writeFileSync(join(folder(), 'package.json'), '{ "main": "index.js" }');
    writeFileSync(join(folder(), 'index.js'), "throw new Error('libtensorflow_cc.so.2: undefined symbol: TF_Version')");
    const broken = smokeTest(addon());
    expect(broken).to.deep.include({ works: false });
    expect(broken.works ? '' : broken.why).to.contain('undefined symbol: TF_Version');
  });

  it('does not take wrong results for an addon that works', () => {
    writeFileSync(addon().addon, '');
    writeFileSync(join(folder(), 'package.json'), '{ "main": "index.js" }');
    const fake = "exports.ready = async () => {}; exports.getBackend = () => 'cpu';";
    writeFileSync(join(folder(), 'index.js'), fake);
    expect(smokeTest(addon())).to.deep.equal({ works: false, why: 'Error: backend is cpu' });
  });
});

describe('tfjs-node set-up: its lock', () => {
  const folder = temporaryFolder();
  const file = (): string => join(folder(), '.dgate-setup.lock');

  it('keeps a second set-up out until it is released, however long the first is silent', async () => {
    const lock = await lockSetup(folder());
    utimesSync(file(), 0, 0);
    expect(await problemOf(() => lockSetup(folder()))).to.equal(
      `another set-up (process ${process.pid} on ${hostname()}) is running; wait for it, or remove ${file()}`,
    );
    await lock.release();
    await (await lockSetup(folder())).release();
    expect(existsSync(file())).to.equal(false);
  });

  it('is taken over from a process that was killed', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    writeFileSync(file(), seal({ ...thisProcess(), pid, started: '' }));
    await (await lockSetup(folder())).release();
    expect(existsSync(file())).to.equal(false);
  });

  it('names a folder that cannot be written', async function () {
    if (process.getuid?.() === 0) return this.skip(); // root may write anywhere
    chmodSync(folder(), 0o500);
    const problem = await problemOf(() => lockSetup(folder()));
    chmodSync(folder(), 0o700);
    expect(problem).to.equal(`${folder()} is not writable; run as the owner of node_modules`);
  });
});

describe("tfjs-node set-up: a program's output in one line", () => {
  it('is its first error, else its last line, not too long', () => {
    expect(oneLine('warning\n  x.cc:3: error: no type\nmore\n')).to.equal('x.cc:3: error: no type');
    expect(oneLine('first\nlast\n\n')).to.equal('last');
    expect(oneLine('')).to.equal('');
    expect(oneLine('x'.repeat(30), 10)).to.equal(`${'x'.repeat(10)}...`);
  });
});

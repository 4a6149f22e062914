import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { filesBelow, tinyNetwork, writeTinyCheckpoint } from '../run/workplace.js';
import { fixture, makePlace, type Place, real, runCli } from './cli.js';
import { WarmCli } from './warm.js';

/** Characters of a line on stderr: a few lines of a terminal, not a page. */
const LINE = 1300;

describe('bad input', () => {
  let place: Place;
  let given: string;
  let warm: WarmCli;

  before(async () => {
    warm = new WarmCli();
    place = await makePlace();
    given = join(place.folder, 'given');
    await mkdir(join(given, 'empty'), { recursive: true });
    await mkdir(join(given, 'folder.safetensors'));
    await writeTinyCheckpoint(join(given, 'tiny.safetensors'));
    const whole = await readFile(join(given, 'tiny.safetensors'));
    await writeFile(join(given, 'truncated.safetensors'), whole.subarray(0, whole.length - 1000));
    await writeFile(join(given, 'truncated.pth'), (await readFile(fixture('legacy.pth'))).subarray(0, 1500));
    await writeFile(join(given, 'text.pth'), 'no checkpoint');
    await writeFile(join(given, 'misspelt.ts'), definition.replace('after: [1]', 'after: [1], epoch: 3, losss: 1'));
    await writeFile(join(given, 'many.ts'), definition.replace('margins: [0.01]', 'fixed: [[1, 2]]'));
    await writeFile(join(given, 'last.ts'), definition.replace('after: [1]', 'after: [3]'));
    await writeFile(join(given, 'number.ts'), 'export default 42;');
    await writeFile(join(given, 'never.mjs'), 'await new Promise(() => {});');
    await writeFile(join(given, 'exits.ts'), 'process.exit(0);');
  });
  after(async () => {
    warm.close();
    await place.remove();
  });

  const definition =
    `export default { name: 'mine', title: 'Mine', network: '${tinyNetwork}', gates: { after: [1] }, ` +
    'thresholds: { margins: [0.01] } };';

  /** Exit status 2, lines on stderr that say it, nothing on stdout and not one file written. @param cold in a process of its own */
  async function refusal(args: readonly string[], cold = false): Promise<string[]> {
    const own = await makePlace();
    const all = [...args, ...own.options];
    const { status, stdout, stderr } = await (cold ? runCli(all, { cwd: given }) : warm.run(all, { cwd: given }));
    const written = await filesBelow(own.folder);
    await own.remove();
    expect([status, stdout], stderr).to.deep.equal([2, '']);
    expect(written).to.deep.equal([]);
    const lines = stderr.trimEnd().split('\n');
    for (const line of lines) {
      expect(line)
        .to.match(/^dgate: /)
        .and.not.to.match(/^dgate: failed|undefined|\[object/);
      expect(line.length, line).to.be.below(LINE);
    }
    return lines.map((line) => line.replace('dgate: ', ''));
  }

  const oneLine: [string, string, RegExp][] = [
    ['no command', '', /^no command \(dgate --help\)$/],
    ['an unknown command', 'rnu', /^unknown command; did you mean run\?/],
    ['a command like no other', 'frobnicate', /^unknown option or argument: frobnicate/],
    ['an unknown option', 'run resnet56 --sett x=1', /^unknown option or argument: sett/],
    ['a text that is denied', 'list --no-cache', /^unknown options or arguments: no-cache/],
    ['an argument too many', 'flops resnet20-cifar10 more', /^unknown option or argument: more/],
    ['no experiment', 'run', /^something is missing after the command: 0 given, 1 needed/],
    ['an option without its value', 'run resnet56 --train-images', /train-images: its value is missing/],
    ['a folder without its name', 'cache list --cache --results x', /cache: its value is missing/],
    ['no subcommand', 'data', /^data: no command; valid: fetch, verify/],
    ['a missing option', 'model eval', /^--network is missing/],
    ['an option given twice', 'model eval --network a --network b', /^--network: given more than once; valid: once$/],
    ['an unknown kind', 'list engine', /^kind: "engine"; valid: "experiments", "networks", .*"engines"/],
    ['an unknown preset', 'run resnet56 --preset huge', /^preset: "huge"; valid: "paper", "laptop", "quick", "smoke"/],
    ['a preset that is not there', 'run ./number.ts --preset smoke', /^\.\/number\.ts: its default export is 42/],
    ['an unknown experiment', 'run resnet57', /^experiment resnet57: unknown; valid: .*resnet56.*, a file such as/],
    ['a definition that is not there', 'run ./nowhere.ts', /^\.\/nowhere\.ts: no such file$/],
    [
      'a definition that never ends loading',
      'run ./never.mjs',
      /^\.\/never\.mjs: ended the program while it was loaded/,
    ],
    ['a definition that ends the program', 'run ./exits.ts', /^\.\/exits\.ts: ended the program .*; valid: a file/],
    [
      'folds of a validation that has none',
      'run resnet56 --set thresholds.validation.folds=1',
      /^resnet56: thresholds\.validation\.folds: 1; valid: a whole number from 2 to 1000$/,
    ],
    ['an unknown network', 'flops resnet21-cifar10', /^network resnet21-cifar10: unknown; valid: .*resnet20-cifar10/],
    ['a part of a name', 'flops resnet20-wide2-cifar10', /"wide2" is not understood; valid: width</],
    ['an unknown engine', 'run resnet56 --engine gpu', /^resnet56: engine gpu: unknown; valid: auto, .*ort-cpu/],
    ['an unknown dataset', 'data fetch cifar11', /^cifar11: no such dataset; valid: cifar10/],
    [
      'an unknown checkpoint',
      'run resnet56 --checkpoint no.th',
      /^checkpoint no\.th: no such file and no known checkpoint/,
    ],
    ['no checkpoint', `model eval --network ${tinyNetwork}`, /: no checkpoint; valid: --checkpoint FILE or ID$/],
    [
      'a plan without one',
      'run table1 --preset paper --set network=resnet101-width0.3-cifar10 --dry-run',
      /width0\.3-cifar10: no checkpoint; valid: --check/,
    ],
    [
      'a plan with an unknown one',
      'run table1 --checkpoint no.th --dry-run',
      /^checkpoint no\.th: no such file and no/,
    ],
    ['a checkpoint to fetch that is none', 'model fetch no', /^checkpoint no: unknown; valid: a file, or .*akamaster-/],
    ['a folder as a checkpoint', 'run resnet56 --checkpoint empty', /^checkpoint empty: a folder; valid: a file/],
    ['--set without a value', 'run resnet56 --set x', /^--set x; valid: path=value, for example/],
    ['--set of nothing', 'run resnet56 --set gates.epoch=3', /^resnet56: gates\.epoch: unknown key; valid: after, /],
    [
      '--set of another type',
      'run resnet56 --set gates.epochs=many',
      /^resnet56: gates\.epochs: "many"; valid: a whole/,
    ],
    ['a seed in hexadecimal', 'run resnet56 --seed 0x10', /^--seed: not a number that it takes; valid: digits/],
    ['a seed as a power', 'run resnet56 --seed 6.4e2', /^--seed: not a number that it takes; valid: digits/],
    ['a number given twice', 'run resnet56 --seed 1 --seed 2', /^--seed: given more than once; valid: once$/],
    [
      'shards as a power',
      'submit resnet56 --shards 1e1 --dry-run',
      /^--shards: not a number that it takes; valid: digits/,
    ],
    ['a seed in words', 'run resnet56 --seed one', /^--seed: not a number that it takes; valid: digits/],
    [
      'more thresholds than gates',
      'run ./many.ts',
      /^\.\/many\.ts: thresholds\.fixed\.0: \[1,2\]; valid: one threshold/,
    ],
    [
      'more thresholds by --set',
      'run resnet56 --set thresholds.fixed=[[1,2,3]]',
      /\[1,2,3\]; valid: 2 thresholds, one/,
    ],
    ['a gate after the last stage', 'run ./last.ts', /gate 1 of .*: after stage 3; valid: stages 1 to 2$/],
    [
      'a truncated checkpoint',
      'run ./last.ts --set gates.after=[1] --checkpoint truncated.safetensors',
      /^truncated\.safetensors: /,
    ],
    ['a truncated PyTorch file', 'model info truncated.pth', /^truncated\.pth: .*truncated/],
    ['a file that is no checkpoint', 'model info text.pth', /^text\.pth: neither safetensors nor torch\.save; valid: /],
    [
      'an empty folder of data',
      'data fetch cifar10 --from empty',
      /^--from empty: no CIFAR-10 in it; valid: cifar-10-binary/,
    ],
    [
      'a folder of data that is not there',
      'data fetch cifar10 --from nmp',
      /^--from nmp: no such folder; valid: npm, /,
    ],
    [
      'a cache that is not there',
      'data verify cifar10',
      /cache: no such folder; valid: a --cache .* that holds data, or run: dgate data fetch cifar10$/,
    ],
    ['a flag with another value', 'list --json=maybe', /^--json=maybe; valid: --json$/],
    ['all experiments to export', 'export all --out all.onnx', /^all: \d+ experiments; valid: one$/],
    [
      'an export of an experiment without thresholds',
      'export figure1 --preset smoke --out f.onnx',
      /^figure1: no thresholds, so no row; valid: /,
    ],
    ['a definition to export to', 'export ./last.ts --out last.ts', /^--out last\.ts; valid: .* ends in \.onnx$/],
    ['a frontier to a definition', 'frontier ./last.ts --out last.ts', /^--out last\.ts; valid: .* ends in \.onnx$/],
    [
      'an import to its own source',
      `model import text.pth --network ${tinyNetwork} --out text.pth`,
      /^--out text\.pth; valid: .* ends in \.safetensors$/,
    ],
    [
      'an import to a folder',
      `model import tiny.safetensors --network ${tinyNetwork} --out folder.safetensors`,
      /^folder\.safetensors: this is a folder, not a file$/,
    ],
    [
      'a list of positions that is not there',
      `model import tiny.safetensors --network ${tinyNetwork} --out o.safetensors --held-out no.json`,
      /^no\.json: no such file$/,
    ],
    [
      'a limit of no images',
      `model eval --network ${tinyNetwork} --checkpoint tiny.safetensors --split val`,
      /^split: "val"; valid: "train", "test"/,
    ],
  ];
  describe('is one clear line:', () => {
    for (const [at, [what, line, expected]] of oneLine.entries()) {
      it(`${what} (dgate ${line})`, async () => {
        const cold = at % 10 === 0 || /never|exits/.test(line); // those end their process, and some others show that it ends
        const args = line.split(' ').filter((part) => part !== '');
        const [first, ...more] = await refusal(args, cold);
        expect(first).to.match(expected);
        expect(more).to.deep.equal([]);
      });
    }
  });

  it('empty values, an option given twice and a number in another form are reported together', async () => {
    const empty = ['run', 'resnet56', '', '--cache', '', '--results=', '--seed', '1e9', '--train-images', '1'];
    const lines = (await runCli([...empty, '--train-images', '2'], { cwd: given })).stderr.trimEnd().split('\n');
    expect(lines.map((line) => line.replace(/;.*/, '')).sort()).to.deep.equal([
      'dgate: --seed: not a number that it takes',
      'dgate: --train-images: given more than once',
      'dgate: cache: an empty value',
      'dgate: experiment: an empty value',
      'dgate: results: an empty value',
    ]);
  });

  it('what follows -- are names, as any other', async () => {
    for (const [line, problem] of [
      ['flops -- resnet21-cifar10', /^dgate: network resnet21-cifar10: unknown/],
      ['flops resnet20-cifar10 -- more', /^dgate: unknown option or argument: more/],
      ['model info -- -no.th', /^dgate: \.\/-no\.th: no such file\n$/],
    ] as const) {
      expect((await runCli(line.split(' '), { cwd: given })).stderr).to.match(problem);
    }
  });

  it('misspelt keys of an experiment are a line each', async () => {
    const lines = await refusal(['run', './misspelt.ts']);
    expect(lines).to.have.length(2);
    expect(lines[0]).to.match(/^\.\/misspelt\.ts: gates\.epoch: unknown key; valid: after, pooling/);
    expect(lines[1]).to.match(/^\.\/misspelt\.ts: gates\.losss: unknown key/);
  });

  it('problems of several experiments come together, before any of them runs', async () => {
    const lines = await refusal(['run', './many.ts', './last.ts', 'resnet57', './nowhere.ts']);
    expect(lines.map((line) => /many|stage 3|resnet57|nowhere/.exec(line)?.[0])).to.deep.equal([
      'many',
      'stage 3',
      'resnet57',
      'nowhere',
    ]);
  });

  it('a checkpoint of another network is said at the top, then tensor by tensor', async () => {
    const lines = await refusal([...'model eval --network resnet56-cifar10 --checkpoint tiny.safetensors'.split(' ')]);
    expect(lines[0]).to.match(/^tiny\.safetensors for resnet56-cifar10: \d+ of 277 tensors fit/);
    expect(lines.join('\n')).to.contain('conv1.weight has shape [4, 3, 3, 3]; the network needs [16, 3, 3, 3]');
    expect(lines.length).to.be.below(50);
  });

  for (const name of ['hostile-zip.pth', 'hostile-zip-4.pth', 'hostile-legacy.pth', 'hostile-bare.pkl']) {
    it(`a pickle that calls os.system is refused by name, and nothing is executed (${name})`, async () => {
      for (const command of ['model info', 'model import --network resnet20-cifar10 --out o.safetensors']) {
        const lines = await refusal([...command.split(' '), fixture(name)]);
        expect(lines).to.have.length(1);
        expect(lines[0]).to.match(
          /: refused: asks for Python's "(posix|os)\.system"; valid: tensors and plain data only/,
        );
      }
      expect((await filesBelow(given)).filter((file) => /^o\.|pwned|hacked/.test(file))).to.deep.equal([]);
    });
  }

  it('a file in the place of a folder says which', async () => {
    for (const option of ['--cache', '--results']) {
      const other = option === '--cache' ? '--results' : '--cache';
      const folders = [option, 'text.pth', other, join(place.folder, 'other')];
      const { status, stdout, stderr } = await runCli(['run', 'resnet56', '--checkpoint', 'no.th', ...folders], {
        cwd: given,
      });
      expect([status, stdout]).to.deep.equal([2, '']);
      expect(stderr).to.match(/^dgate: \S+text\.pth: a file stands where a folder is needed: choose another folder/);
    }
  });

  it("is said in English, whatever the machine's language", async () => {
    const env = { LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8' };
    const { stderr } = await runCli(['flops'], { env });
    expect(stderr).to.equal('dgate: something is missing after the command: 0 given, 1 needed (dgate --help)\n');
    expect((await runCli(['list', '--help'], { env })).stdout).to.contain('Show help');
  });

  describe('with real checkpoints (needs ../shared/checkpoints)', () => {
    before(function () {
      if (!real.hasCheckpoints) this.skip();
    });

    it("ResNet-20's file for ResNet-56 names both", async () => {
      const checkpoint = real.checkpoint('resnet20-12fca82f.th');
      const lines = await refusal(['run', 'resnet56', '--preset', 'smoke', '--checkpoint', checkpoint]);
      expect(lines[0]).to.match(
        /resnet20-12fca82f\.th for resnet56-cifar10: 97 of 277 tensors fit; these fit resnet20-cifar10/,
      );
      expect(lines.at(-1)).to.equal('  and 160 more are missing');
    });

    it('the first 300,000 bytes of a file are not taken for the file', async () => {
      const bytes = await readFile(real.checkpoint('resnet20-12fca82f.th'));
      await writeFile(join(given, 'cut.th'), bytes.subarray(0, 300_000));
      const lines = await refusal(['run', 'resnet56', '--preset', 'smoke', '--checkpoint', 'cut.th', '--json']);
      expect(lines).to.have.length(1);
      expect(lines[0]).to.match(/^cut\.th: byte \d+: truncated: needs \d+ more bytes, has \d+$/);
    });
  });
});

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Where the sources rely on one system, and what happens on the others. */
const assumptions: Readonly<Record<string, string>> = {
  'src/cli/commands/doctor.ts': 'platform is printed; nvidia-smi may be missing',
  'src/cli/output.ts': 'platform is printed',
  'src/cli/supervisor.ts': 'SIGKILL ends a process on Windows too',
  'src/data/records/npm.ts': 'npm is a batch file on Windows, started by its shell',
  'src/engines/doctor/diagnose.ts': 'SIGKILL ends a process on Windows too',
  'src/engines/onnxruntime/engine.ts': 'ort-cuda is refused off Linux x64 in one line',
  'src/engines/onnxruntime/isolated-child.ts': 'without /proc the peak memory is counted from the start of the process',
  'src/engines/onnxruntime/session.ts': 'a limit on memory needs /bin/sh: none on Windows, where time alone is limited',
  'src/engines/onnxruntime/loads.ts': 'a library that is missing for this system is one line',
  'src/engines/setup.ts': 'python3 may be missing; the set-ups are for Linux and refused elsewhere',
  'src/engines/tfjs/setup/index.ts': 'tfjs-node is set up on Linux only, refused elsewhere in one line',
  'src/experiment/load.ts': 'without /proc a limit on memory is not named in a message',
  'src/store/processes.ts':
    "without /proc a machine is its host's name, and a process its number alone; SIGKILL ends one on Windows too",
  'src/timing/record.ts': 'without /sys the governor of the processor is not recorded',
};

const SIGNS =
  /['"`]\/(?:proc|sys|bin|dev|etc)\/|process\.platform|os\.platform|chmod|SIGKILL|spawn(?:Sync)?\('|spawnSync\(program/;

describe('systems', () => {
  it('are relied on only where it is written down what happens on the others', () => {
    const files = ['bin', 'src'].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
        join(folder, name).replaceAll('\\', '/'),
      ),
    );
    const found = files.filter((file) => file.endsWith('.ts') && SIGNS.test(readFileSync(join(root, file), 'utf8')));
    expect(found.sort()).to.deep.equal(Object.keys(assumptions).sort());
  });

  it('start the scripts of package.json alike: no POSIX variables, no single quotes', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const [name, script] of Object.entries(scripts)) {
      expect(script.replaceAll(/"[^"]*"/g, ''), name).not.to.match(/^\w+=|'|\$|;|\brm\b|\bcp\b/);
    }
  });

  it('install without an install script, which no setting of npm 10, 11 and 12 turns off alike', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { hasInstallScript?: boolean; gypfile?: boolean }>;
    };
    const withScripts = Object.entries(lock.packages).filter(([, { hasInstallScript }]) => hasInstallScript);
    expect(withScripts).to.deep.equal([]);
    expect(lock.packages['node_modules/@tensorflow/tfjs-node-gpu']?.gypfile).to.equal(false);
    expect(readFileSync(join(root, '.npmrc'), 'utf8')).to.equal('fund=false\naudit=false\n');
  });
});

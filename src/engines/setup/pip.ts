import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../../system-error.js';
import { fail, oneLine } from './fail.js';

type Log = (line: string) => void;
const options = ['--no-deps', '--only-binary=:all:', '--disable-pip-version-check', '-q'];

/** Downloads the wheel of a version of a distribution. @returns its path. @throws InputError if pip fails */
export function fetchWheel(distribution: string, version: string, glibcMinor: number, into: string, log: Log): string {
  const what = `${distribution} ${version}`;
  pip(['download', ...options, '-d', into, ...platform(glibcMinor), `${distribution}==${version}`], what, log);
  const wheel = readdirSync(into).find((file) => file.endsWith('.whl'));
  return wheel === undefined ? fail(`pip left no wheel of ${what}; give --wheel FILE`) : join(into, wheel);
}

/** Installs the CUDA libraries that a wheel names into a folder. @throws InputError if pip fails */
export function fetchCuda(packages: readonly string[], glibcMinor: number, into: string, log: Log): void {
  pip(['install', ...options, '--target', into, ...platform(glibcMinor), ...packages], 'the CUDA libraries', log);
}

function platform(glibcMinor: number): string[] {
  const arch = process.arch === 'x64' ? 'x86_64' : 'aarch64';
  const tags: string[] = [];
  for (let minor = glibcMinor; minor >= 17; minor--) tags.push('--platform', `manylinux_2_${minor}_${arch}`);
  tags.push('--platform', `manylinux2014_${arch}`);
  // The Python in the tags is only a label here: no Python code is used.
  return [...tags, '--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311'];
}

function pip(args: readonly string[], what: string, log: Log): void {
  log(`python3 -m pip ${args.slice(0, 1)} ... ${args.at(-1)}`);
  const { status, error, stdout, stderr } = spawnSync('python3', ['-m', 'pip', ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    env: { ...process.env, PIP_USER: '0' },
  });
  const remedy = 'apt-get install python3-pip, or give --wheel FILE';
  if (systemCode(error) === 'ENOENT') fail(`python3 is not installed; ${remedy}`);
  if (/No module named pip/.test(stderr)) fail(`python3 has no pip; ${remedy}`);
  if (status !== 0) {
    const said = oneLine(stderr || stdout)
      .replace(/^ERROR: /, '')
      .replace(/ \(from versions:.*/, '');
    fail(`pip could not fetch ${what}: ${said} (check the network or pip's index settings, or give --wheel FILE)`);
  }
}

/** The minor version of glibc 2, which Python wheels are built for. @throws InputError if this system has none */
export function glibcMinorVersion(): number {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const glibc = report.header?.glibcVersionRuntime;
  if (glibc === undefined) fail('Python wheels for Linux need glibc (not Alpine); use a Debian- or Ubuntu-based image');
  return Number(glibc.split('.')[1]);
}

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Peer } from './types.js';

/** Where `bench/peers.sh` puts the peers. */
const environment = process.env['DGATE_PEERS'] ?? fileURLToPath(new URL('../../.cache/peers', import.meta.url));

/** The interpreter of the peers; without their environment that of Debian, whose own packages are peers too. */
export const python = pythonOf(environment);

/** @param folder of a virtual environment */
export function pythonOf(folder: string): string {
  const inside = join(folder, 'bin', 'python');
  return existsSync(inside) ? inside : '/usr/bin/python3';
}

/** What people call them. */
export const peerNames: Readonly<Record<Peer, string>> = {
  torch: 'PyTorch',
  torchvision: 'torchvision',
  sklearn: 'scikit-learn',
  onnxruntime: 'onnxruntime (Python)',
  openvino: 'OpenVINO',
  nncf: 'nncf',
  earlyon: 'earlyon',
};

/** Versions of those peers that can be imported here; nothing else is said of the others. */
export function peerVersions(peers: readonly Peer[], interpreter = python): ReadonlyMap<Peer, string> {
  const found = new Map<Peer, string>();
  for (const peer of peers) {
    const asked = spawnSync(interpreter, ['-c', `import ${peer}; print('VERSION', ${peer}.__version__)`], {
      encoding: 'utf8',
      timeout: 120_000,
    });
    const version = /^VERSION (\S+)/m.exec(asked.stdout ?? '')?.[1];
    if (version !== undefined) found.set(peer, version.split('-')[0]!);
  }
  return found;
}

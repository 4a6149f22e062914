import { spawnSync } from 'node:child_process';
import type { Peer } from './types.js';

/** Debian's interpreter: where `bench/peers.sh` puts the peers. */
export const python = '/usr/bin/python3';

/** What people call them. */
export const peerNames: Readonly<Record<Peer, string>> = {
  torch: 'PyTorch',
  torchvision: 'torchvision',
  sklearn: 'scikit-learn',
};

/** Versions of those peers that can be imported here; nothing else is said of the others. */
export function peerVersions(peers: readonly Peer[], interpreter = python): ReadonlyMap<Peer, string> {
  const found = new Map<Peer, string>();
  for (const peer of peers) {
    const asked = spawnSync(interpreter, ['-c', `import ${peer}; print('VERSION', ${peer}.__version__)`], {
      encoding: 'utf8',
      timeout: 120_000,
    });
    const version = /^VERSION (.+)$/m.exec(asked.stdout ?? '')?.[1];
    if (version !== undefined) found.set(peer, version);
  }
  return found;
}

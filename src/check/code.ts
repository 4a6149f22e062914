import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../project.js';
import { sha256 } from '../store/files.js';

/** `src`, as TypeScript or as it was compiled. */
const sources = fileURLToPath(new URL('../', import.meta.url));

/**
 * Hash of everything that computes: dgate's own files, and the versions of the packages that it stands on. What other
 * code has cached must not answer for this code.
 */
export async function codeHash(): Promise<string> {
  const names = (await readdir(sources, { recursive: true })).filter((name) => /(?<!\.d)\.[jt]s$/.test(name)).sort();
  const files = await Promise.all(names.map(async (name) => [name, sha256(await readFile(join(sources, name)))]));
  return sha256(JSON.stringify([process.versions.node, await installedVersions(), files])).slice(0, 16);
}

async function installedVersions(): Promise<Record<string, string | null>> {
  const manifest = JSON.parse(await readFile(new URL('package.json', projectRoot), 'utf8')) as {
    readonly dependencies?: Record<string, string>;
    readonly optionalDependencies?: Record<string, string>;
  };
  const named = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }).sort();
  return Object.fromEntries(
    await Promise.all(named.map(async (name) => [name, await installedVersion(name)] as const)),
  );
}

/** Version of an installed package, without loading it; null where it is not installed. */
async function installedVersion(name: string): Promise<string | null> {
  for (const folder of createRequire(new URL('package.json', projectRoot)).resolve.paths(name) ?? []) {
    const text = await readFile(join(folder, name, 'package.json'), 'utf8').catch(() => undefined);
    if (text !== undefined) return (JSON.parse(text) as { version: string }).version;
  }
  return null;
}

import { resolve } from 'node:path';

/** Options that every command has. */
export interface GlobalOptions {
  readonly cache?: string | undefined;
  readonly results?: string | undefined;
}

/** The folder of data, models and cached results. */
export function cacheFolder({ cache }: GlobalOptions): string {
  return resolve(cache ?? (process.env['DGATE_CACHE'] || '.cache'));
}

/** The folder of tables. */
export const resultsFolder = ({ results }: GlobalOptions): string => resolve(results ?? 'results');

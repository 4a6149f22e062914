import { join } from 'node:path';
import { download } from '../checkpoints/fetch.js';
import type { Download } from '../data/dataset.js';
import { paperAnalyses } from '../paper/index.js';
import type { Progress } from '../progress.js';
import type { AnalysisContext } from '../run/analyses.js';
import { ensureFolder, Store } from '../store/store.js';
import { cacheFolder, type GlobalOptions, resultsFolder } from './folders.js';
import { consoleProgress } from './progress.js';
import { staleBuild } from './stale-build.js';

/** Folders and progress of a command, from its options and the environment. @throws InputError */
export async function openContext(options: GlobalOptions): Promise<AnalysisContext> {
  const cache = cacheFolder(options);
  await ensureFolder(cache);
  const progress = consoleProgress();
  const stale = await staleBuild();
  if (stale !== undefined) progress.warn(stale);
  return {
    store: new Store(join(cache, 'results')),
    dataRoot: join(cache, 'data'),
    modelsRoot: join(cache, 'models'),
    resultsRoot: resultsFolder(options),
    analyses: paperAnalyses,
    progress,
    download: datasetDownload(progress),
  };
}

/** Downloads for datasets, by the same code as for checkpoints. */
function datasetDownload(progress: Progress): Download {
  return async ({ url, to, bytes, sha256 }) => {
    await download({ urls: [url], to, sizeBytes: bytes, sha256, progress });
  };
}

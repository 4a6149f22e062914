import { type ImageSet, imageSet } from '../../src/data/dataset.js';

import type { Preprocessing } from '../../src/data/preprocess.js';
import { datasets } from '../../src/data/registry.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { type LoweredNetwork, lowerNetwork } from '../../src/networks/lower.js';
import type { Network } from '../../src/networks/network.js';
import { paperAnalyses } from '../../src/paper/index.js';
import { silent } from '../../src/progress.js';
import { Random } from '../../src/random.js';
import type { NetworkSource } from '../../src/run/source.js';
import type { AnalysisContext } from '../../src/run/stages.js';
import { Store } from '../../src/store/store.js';
import type { TensorMap } from '../../src/tensor.js';
import { generatedTensors } from '../../test/parity.js';

/** A network and images to run it on, all generated: nothing is fetched, and nothing said about accuracy. */
export interface Generated {
  readonly name: string;
  readonly network: Network;
  readonly tensors: TensorMap;
  readonly lowered: LoweredNetwork;
  readonly images: ImageSet;
  readonly preprocessing: Preprocessing;
  readonly source: NetworkSource;
}

const CLASSES = 10;

export function generated(name: string, count: number): Generated {
  const network = networkByName(name);
  const { channels, height, width } = network.input;
  const tensors = generatedTensors(network);
  const lowered = lowerNetwork(network, tensors);
  const random = new Random(0);
  const preprocessing = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  return {
    name,
    network,
    tensors,
    lowered,
    preprocessing,
    images: imageSet({
      channels,
      height,
      width,
      images: Uint8Array.from({ length: count * channels * height * width }, () => random.below(256)),
      labels: Int32Array.from({ length: count }, (_, i) => i % CLASSES),
      classes: Array.from({ length: CLASSES }, (_, i) => String(i)),
      sha256: 'generated',
    }),
    source: {
      network,
      checkpoint: { path: 'generated', sha256: 'generated', known: undefined },
      modules: [],
      preprocessing,
      heldOut: async () => new Int32Array(),
      lowered: async () => lowered,
    },
  };
}

/** What a run works with, in a folder of its own. */
export function contextIn(root: string): AnalysisContext {
  return {
    store: new Store(root),
    datasets,
    dataRoot: root,
    modelsRoot: root,
    resultsRoot: root,
    analyses: paperAnalyses,
    progress: silent,
    download: async () => {},
  };
}

import type { ConfidenceKind } from '../../src/gates/confidence.js';
import type { AboutGated } from '../../src/onnx/gated-file.js';
import { CLASSES, preprocessing } from './gated-networks.js';

/** What a generated file says of itself. */
export function about(gates: number, confidence: ConfidenceKind): AboutGated {
  const { mean, std } = preprocessing;
  return {
    format: 1,
    usage: 'for tests',
    classes: Array.from({ length: CLASSES }, (_, i) => `class ${i}`),
    preprocessing: {
      height: 32,
      width: 32,
      order: 'rgb',
      mean: [...mean],
      std: [...std],
      resize: 32,
      interpolation: 'bilinear',
      squash: false,
    },
    gates: Array.from({ length: gates }, (_, i) => ({ stage: i + 1, features: 1 })),
    confidence,
    thresholds: new Array<number>(gates).fill(Number.POSITIVE_INFINITY),
    expected: {
      images: 1,
      accuracy: 1,
      originalAccuracy: 1,
      flops: 1,
      originalFlops: 2,
      flopsReduction: 0.5,
      exits: [...new Array<number>(gates).fill(0), 1],
    },
    provenance: {},
  };
}

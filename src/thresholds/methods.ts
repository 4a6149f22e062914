import type { ExitCosts, Scores, Thresholds } from './evaluate.js';
import { paretoFrontier } from './frontier.js';
import { jointSearch } from './joint.js';
import { coordinateSearch, lookaheadSearch, sequentialSearch } from './sequential.js';

/** Search methods for a required accuracy, in the order of tables. The first three read section 3.1 of the paper. */
export const searchMethods = ['sequential', 'lookahead', 'coordinate', 'joint'] as const;
export type SearchMethod = (typeof searchMethods)[number];

/** Prepares a search on images. The result finds thresholds for a share of them classified right. */
type On = (scores: Scores, costs: ExitCosts, images: ArrayLike<number>) => (required: number) => Thresholds;

interface SearchKind {
  /** For a cell of a table. */
  readonly short: string;
  readonly words: string;
  readonly on: On;
}

export const searches: Readonly<Record<SearchMethod, SearchKind>> = {
  sequential: {
    short: 'seq.',
    words: 'sequential, gate after gate, each with the whole margin',
    on: (scores, costs, images) => (required) => sequentialSearch(scores, costs, images, required),
  },
  lookahead: {
    short: 'look.',
    words: 'lookahead, gate after gate, each for the fewest FLOPs once the gates after it are chosen too',
    on: (scores, costs, images) => (required) => lookaheadSearch(scores, costs, images, required),
  },
  coordinate: {
    short: 'coord.',
    words: 'coordinate, gate after gate with the others as they are, until nothing changes',
    on: (scores, costs, images) => (required) => coordinateSearch(scores, costs, images, required),
  },
  joint: {
    short: 'joint',
    words: 'joint, all gates together',
    // All gates closed where nothing reaches the accuracy.
    on: (scores, costs, images) => {
      const frontier = paretoFrontier(scores, costs, images);
      return (required) =>
        jointSearch(scores, costs, images, { kind: 'accuracy', required }, frontier)?.thresholds ??
        costs.slice(1).map(() => Number.POSITIVE_INFINITY);
    },
  },
};

import type { Conditions } from './csv.js';

/** Programs that some benchmarks measure against; `bench/peers.sh` installs them, no user needs them. */
export type Peer = 'torch' | 'torchvision' | 'sklearn' | 'onnxruntime' | 'openvino' | 'nncf' | 'earlyon';

/** What a ratio (ours / the other's) is asked to be. */
export type Target = { readonly atLeast: number } | { readonly atMost: number };

/** One measured ratio: a line of the table and of results/bench.csv. */
export interface Ratio {
  /** What was measured, with its sizes: `resnet56, 2,048 images, batch 64`. Unique within the benchmark. */
  readonly what: string;
  /** What stands against us: `onnxruntime loop`, `limit`; of a peer it begins with its name: `PyTorch, hooks`. */
  readonly against: string;
  /** Median of ours and of the other's, both in `unit`. */
  readonly ours: number;
  readonly peer: number;
  readonly unit: string;
  /** Median of the rounds' ratios ours / peer. */
  readonly ratio: number;
  /** Quartiles of the rounds' ratios. */
  readonly low: number;
  readonly high: number;
  readonly rounds: number;
  /** Undefined where nothing is asked for: the number stands for itself. */
  readonly target?: Target;
  /** What else must be known to read it: an exponent, agreement of the results, where the time goes; else empty. */
  readonly note: string;
}

/** What the runner hands to a benchmark. */
export interface Bench {
  /** A line on stderr: what is going on. */
  say(line: string): void;
  /** Whether a peer can be run here. What needs one that is missing is left out; the runner says so. */
  has(peer: Peer): boolean;
  /** The interpreter of the peers. */
  readonly python: string;
  readonly conditions: Conditions;
}

/** One benchmark: bench/suite/NAME.ts exports it as `benchmark`. About four minutes at most. */
export interface Benchmark {
  readonly name: string;
  /** One line, for --list. */
  readonly title: string;
  /** Peers that at least a part of it measures against. */
  readonly peers: readonly Peer[];
  /** @throws Error where something is wrong; what cannot be measured here is left out, never made up */
  run(bench: Bench): Promise<Ratio[]>;
}

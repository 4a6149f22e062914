import {
  type ConfidenceKind,
  confidenceOf,
  type Fitted,
  looksBack,
  ownKinds,
  writeFailureNumbers,
} from '../gates/confidence.js';
import type { PlacedGate } from '../gates/contracts.js';
import type { GraphBuilder } from './builder.js';

/** A gated network in parts: from the image to the first exit, from each exit to the next. */
export interface Parts {
  readonly count: number;
  /** Number of values that a part passes to the next; 1 by default. */
  readonly handsOn?: (part: number) => number;
  /**
   * Writes one part, perhaps into several branches.
   *
   * @param inputs values from the previous part
   * @returns the exit's distances or logits [n, classes], and the inputs of the next part, each [n, ...]
   */
  write(
    builder: GraphBuilder,
    part: number,
    inputs: readonly string[],
  ): { readonly distances: string; readonly next: readonly string[] };
}

/** The gates on parts that give features. Distances that the next gate takes are handed on behind the other values. */
export function gatedParts(parts: Parts, gates: readonly PlacedGate[]): Parts {
  const takes = (part: number): boolean => gates[part]?.gate.previous !== undefined;
  return {
    count: parts.count,
    handsOn: (part) => (parts.handsOn?.(part) ?? 1) + Number(takes(part + 1)),
    write(builder, part, inputs) {
      const [inside, before] = takes(part) ? [inputs.slice(0, -1), inputs.at(-1)] : [inputs];
      const { distances: features, next } = parts.write(builder, part, inside);
      const placed = gates[part];
      const distances = placed === undefined ? features : writeGate(builder, part, placed, features, before);
      return { distances, next: takes(part + 1) ? [...next, distances] : next };
    },
  };
}

/** Distances, [n, classes], as `distances` computes them; without weights the features themselves. */
function writeGate(
  builder: GraphBuilder,
  index: number,
  { gate }: PlacedGate,
  features: string,
  before?: string,
): string {
  if (gate.weights.length === 0) return features;
  const weights = builder.constant(`gate${index + 1}.weights`, gate.weights, [gate.features, gate.classes]);
  const negated = gate.bias.map((value) => -value);
  const bias = builder.constant(`gate${index + 1}.bias`, negated, [gate.classes]);
  const own = builder.node('Gemm', [features, weights, bias]);
  if (gate.previous === undefined || before === undefined) return own;
  const previous = builder.constant(`gate${index + 1}.previous`, gate.previous, [gate.classes, gate.classes]);
  return builder.node('Gemm', [before, previous, own]);
}

/** What was fitted to the exits: constants of each, or inputs like the thresholds. */
export type FittedForm = readonly Fitted[] | 'input';

/** Whether confidences depend on more than an exit's distances. They then stand behind the distances: [n, classes + 1]. */
export const isBehind = (kind: ConfidenceKind, form?: FittedForm): boolean => looksBack(kind) || form !== undefined;

/** What was fitted to exits, as a graph takes it: temperature, factors and offsets of each. */
export const fittedNumbers = (...all: readonly Fitted[]): Float32Array =>
  Float32Array.from(all.flatMap(({ temperature, factors, offsets }) => [temperature, ...factors, ...offsets]));
export const fittedSize = (classes: number): number => 1 + ownKinds.length + classes;

/** How a graph reads an exit's numbers. */
export interface WrittenConfidence {
  readonly isLargestDistance: boolean;
  /** What is held against the threshold, [n]. */
  readonly write: (builder: GraphBuilder, row: string) => string;
  /** [n, classes] */
  readonly distances: (builder: GraphBuilder, row: string) => string;
}

/** @param classes if the confidence is behind so many distances */
export function writtenConfidence(kind: ConfidenceKind, classes: number | undefined): WrittenConfidence {
  const { write, isLargestDistance = false } = confidenceOf(kind);
  if (classes === undefined) {
    return { isLargestDistance, write: (builder, row) => write(builder, row, ''), distances: (_, row) => row };
  }
  const part = (builder: GraphBuilder, row: string, which: 0 | 1): string => {
    const names = [builder.fresh('distances'), builder.fresh('behind')];
    builder.nodes('Split', [row, builder.ints('and_one', [classes, 1])], { axis: 1 }, names);
    return names[which]!;
  };
  return {
    isLargestDistance: false,
    write: (builder, row) => builder.node('Reshape', [part(builder, row, 1), builder.ints('flat', [-1])]),
    distances: (builder, row) => part(builder, row, 0),
  };
}

/**
 * Parts whose exits give what they are judged by: distances, and confidences behind them where they depend on more. What a
 * confidence carries from exit to exit goes along with the images as they are gathered.
 *
 * @param fitted `fittedNumbers` of each exit
 */
export function judgedParts(parts: Parts, kind: ConfidenceKind, classes: number, fitted?: readonly string[]): Parts {
  const { carry, write: writeOwn } = confidenceOf(kind);
  if (carry === undefined && fitted === undefined) return parts;
  return {
    count: parts.count,
    handsOn: (part) => (parts.handsOn?.(part) ?? 1) + Number(carry !== undefined),
    write(builder, part, inputs) {
      const [inside, before] = part === 0 || carry === undefined ? [inputs] : [inputs.slice(0, -1), inputs.at(-1)];
      const { distances: given, next } = parts.write(builder, part, inside);
      const [distances = given, factors, offsets] = fitted ? writeFitted(builder, given, fitted[part]!, classes) : [];
      const carried = carry?.write(builder, distances, before, part);
      const column = builder.ints('column', [-1, 1]);
      const weights = kind === 'failure' && factors && builder.node('Reshape', [factors, column]);
      const own = weights
        ? builder.node('MatMul', [writeFailureNumbers(builder, distances), weights])
        : writeOwn(builder, distances, carried ?? '');
      let confidence = builder.node('Reshape', [own, column]);
      if (offsets !== undefined) {
        const winners = builder.node('ArgMax', [distances], { axis: 1, keepdims: 1 });
        confidence = builder.node('Add', [confidence, builder.node('Gather', [offsets, winners])]);
      }
      const row = builder.node('Concat', [distances, confidence], { axis: 1 });
      const goesOn = carried !== undefined && part < parts.count - 1;
      return { distances: row, next: goesOn ? [...next, carried] : next };
    },
  };
}

/** Distances at their temperature, factors and offsets. */
function writeFitted(builder: GraphBuilder, distances: string, fitted: string, classes: number): string[] {
  const names = ['temperature', 'factors', 'offsets'].map((name) => builder.fresh(name));
  builder.nodes('Split', [fitted, builder.ints('fitted_sizes', [1, ownKinds.length, classes])], { axis: 0 }, names);
  return [builder.node('Div', [distances, names[0]!]), ...names.slice(1)];
}

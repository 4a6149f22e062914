import { InputError } from '../../errors.js';
import type { MapShape } from '../../networks/network.js';
import type { OnnxNetwork, OnnxStage } from '../../networks/onnx.js';
import type { Cut, Cuts, Place } from './cuts.js';
import type { PreparedGraph } from './prepare.js';

/**
 * Describes a user's network for the pipeline.
 *
 * @param gatesAfter names of the tensors that gates can read, or `auto`: the proposed ones
 * @throws InputError naming every tensor at which the graph cannot be cut
 */
export function describeGraph(
  graph: PreparedGraph,
  found: Cuts,
  {
    name,
    dataset,
    gatesAfter,
  }: { readonly name: string; readonly dataset: string; readonly gatesAfter: readonly string[] | 'auto' | 'spread' },
): OnnxNetwork {
  const { logits } = graph;
  const { input, file } = graph.model;
  const cuts =
    typeof gatesAfter === 'string'
      ? found[gatesAfter === 'auto' ? 'proposed' : 'spread'].map((index) => found.cuts[index]!)
      : chosenCuts(gatesAfter, found, file.path);
  if (typeof gatesAfter === 'string' && cuts.length === 0) throw new InputError(`${file.path}: ${whyNone(found)}`);
  return {
    format: 'onnx',
    name,
    dataset,
    input: { channels: input.channels, height: input.height, width: input.width },
    logits,
    classes: graph.shapes.get(logits)![0][1]!,
    parameters: graph.parameters,
    flops: found.flops.total,
    stages: cuts.map(stageOf),
  };
}

function chosenCuts(names: readonly string[], { cuts }: Cuts, path: string): Place[] {
  const problems: string[] = [];
  const places = cuts.flatMap((cut): Place[] => [...cut.alike, cut]);
  const chosen = names.flatMap((name): Place[] => {
    const cut = places.find(({ tensor }) => tensor === name);
    if (cut !== undefined) return [cut];
    problems.push(`${path}: gatesAfter ${name}: the graph cannot be cut there; see: dgate model inspect ${path}`);
    return [];
  });
  if (problems.length > 0) throw new InputError(problems);
  chosen.forEach((cut, i) => {
    if (i > 0 && cut.flops <= chosen[i - 1]!.flops) {
      throw new InputError(
        `${path}: gatesAfter ${names[i]} does not lie behind ${names[i - 1]}; valid: in their order, each once`,
      );
    }
  });
  return chosen;
}

/** Why no gate is proposed. */
export function whyNone({ cuts, missing, flops }: Cuts): string {
  if (flops.total === 0) return 'nothing in it is counted as cost: it has no convolution, Gemm or MatMul';
  const [first] = missing;
  const elsewhere =
    cuts.length === 0 ? '' : `; places elsewhere: ${cuts.map((cut) => share(cut, flops.total)).join(', ')}`;
  return `no place for a gate between a tenth and nine tenths of the FLOPs: at ${100 * (first?.share ?? 0)} % of them ${first?.why ?? 'nothing is'}${elsewhere}`;
}

const share = ({ flops, tensor }: Cut, total: number): string => `${tensor} (${((100 * flops) / total).toFixed(1)} %)`;

function stageOf(cut: Place): OnnxStage {
  const { tensor, images, flops } = cut;
  return { name: tensor, ...mapLayoutOf(cut), ...(images !== undefined && { images }), cumulativeFlops: flops };
}

/** How one image lies in a tensor. */
export function mapLayoutOf({
  shape,
  channels,
}: Pick<Place, 'shape' | 'channels'>): MapShape & Pick<OnnxStage, 'layout'> {
  const [a, b, c] = shape as [number, number, number];
  if (shape.length === 1) return { channels: a, height: 1, width: 1, layout: 'row' };
  if (shape.length === 2) {
    if (channels === 'first') return { channels: a, height: b, width: 1, layout: 'tokens-first' };
    return { channels: b, height: a, width: 1, layout: 'tokens-last' };
  }
  if (channels === 'first') return { channels: a, height: b, width: c, layout: 'maps-first' };
  return { channels: c, height: a, width: b, layout: 'maps-last' };
}

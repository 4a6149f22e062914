import { InputError } from '../errors.js';
import { visible } from '../escape.js';
import { counted, percent } from '../json.js';
import { type AboutGated, aboutOf } from '../onnx/gated-file.js';
import { type Cuts, mapLayoutOf, whyNone } from '../onnx/graph/cuts.js';
import type { PreparedGraph } from '../onnx/graph/prepare.js';
import { readUserFile } from '../onnx/graph/read.js';
import { renderColumns } from '../report/findings.js';
import { type CostedExit, inspectExits, inspectFile } from '../run/user-network.js';
import { print, printJson } from './output.js';

interface InspectOptions {
  readonly file: string;
  readonly logits: string | undefined;
  readonly inputSize: string | undefined;
  readonly json: boolean;
}

/** `dgate model inspect` */
export async function inspectModel({ file, logits, inputSize: text, json }: InspectOptions): Promise<void> {
  const sides = text?.split('x').map(Number) ?? [];
  const [height, width = height] = sides;
  if (
    text !== undefined &&
    (sides.length > 2 || ![height, width].every((side) => Number.isInteger(side) && side! > 0))
  ) {
    throw new InputError(`--input-size ${text}; valid: HEIGHTxWIDTH in pixels, 224x224 for example`);
  }
  const inputSize = text === undefined ? undefined : ([height!, width!] as const);
  const about = aboutOf((await readUserFile(file)).model, file);
  if (about !== undefined) {
    if (json) printJson(about);
    else print(() => renderExport(file, about));
    return;
  }
  const options = { logits, inputSize };
  const exits = await inspectExits(file, options);
  const { graph, cuts } = await inspectFile(file, options);
  const document = inspection(file, graph, cuts, exits);
  if (json) printJson(document);
  else print(() => renderInspection(document));
}

/** The exits of a file of `dgate export`, as it says itself. */
export function renderExport(file: string, about: AboutGated): string {
  const { gates, thresholds, temperatures, confidence, expected, classes, preprocessing, networks } = about;
  const rows = expected.exits.map((share, exit) => {
    const gate = gates[exit];
    const network = networks?.[(gate?.network ?? networks.length) - 1];
    const where = [network ?? [], gate?.stage === undefined ? [] : `stage ${gate.stage}`].flat().join(', ');
    const at = temperatures === undefined ? '' : ` at temperature ${temperatures[exit]?.toPrecision(4)}`;
    const leaves = gate === undefined ? 'all others' : `${confidence}${at} >= ${thresholds[exit]}`;
    return [`${exit + 1}`, where || 'the original classifier', leaves, percent(share)];
  });
  const { images, accuracy, originalAccuracy, flops, originalFlops } = expected;
  const right = accuracy === null ? '' : ` ${percent(accuracy)} right (the original: ${percent(originalAccuracy!)}),`;
  const costs = `${counted(Math.round(flops))} FLOPs an image (${counted(originalFlops)})`;
  return [
    visible(
      `${file}: a file of dgate export, ${classes.length} classes, ${preprocessing.height} x ${preprocessing.width} pixels`,
    ),
    renderColumns(['Exit', 'Behind', 'Leaves where', 'Images'], rows, 'text'),
    `On ${counted(images)} images${right} ${costs}.`,
    'dgate predict runs it; dgate time --verify takes the experiment that it was exported from.',
  ].join('\n');
}

/** What `dgate model inspect --json` prints. */
function inspection(file: string, graph: PreparedGraph, found: Cuts, exits: readonly CostedExit[]) {
  const { model, shapes } = graph;
  const { flops, cuts, proposed } = found;
  const { channels, height, width, order, name } = model.input;
  return {
    file,
    sha256: model.file.sha256,
    opset: model.opset,
    input: { name, channels, height, width, order },
    output: { name: model.logits, classes: shapes.get(graph.logits)![0][1]! },
    parameters: graph.parameters,
    flops: flops.total,
    flopsByBits: Object.fromEntries([8, 16, 32].map((bits) => [bits, flopsOfWidth(flops, bits)])),
    notCounted: flops.notCounted,
    unknownCost: flops.unknown,
    cuts: cuts.map((cut, index) => ({
      tensor: cut.tensor,
      operator: cut.op,
      shape: cut.shape,
      layout: mapLayoutOf(cut).layout,
      flops: cut.flops,
      flops8Bit: cut.flops8,
      share: cut.flops / flops.total,
      proposed: proposed.includes(index),
      alike: cut.alike.map(({ tensor }) => tensor),
    })),
    exits,
    notes: graph.notes,
    why: proposed.length === 0 ? whyNone(found) : missingNotes(found),
  };
}

const flopsOfWidth = ({ perNode, widths }: Cuts['flops'], bits: number): number =>
  perNode.reduce((sum, flops, i) => sum + (widths[i] === bits ? flops : 0), 0);

type Inspection = ReturnType<typeof inspection>;

/** Why there are fewer than four; null where there are four. */
function missingNotes({ missing }: Cuts): string | null {
  const notes = missing.map(({ share, why }) => `none at ${Math.round(100 * share)} % of the FLOPs: ${why}`);
  return notes.length === 0 ? null : notes.join('; ');
}

/** Most places in the table: laying out thousands takes minutes. */
const MOST_ROWS = 200;

function renderInspection(found: Inspection): string {
  const { input, output, flops, notCounted, unknownCost, cuts, why } = found;
  const every = Math.ceil(cuts.length / MOST_ROWS);
  const shown = cuts.filter((cut, i) => cut.proposed || i % every === 0);
  const has8Bit = found.flopsByBits[8] !== 0;
  const rows = shown.map((cut) => [
    cut.proposed ? '*' : '',
    cut.tensor,
    cut.operator,
    cut.shape.join(' x '),
    cut.layout,
    counted(cut.flops),
    ...(has8Bit ? [counted(cut.flops8Bit)] : []),
    percent(cut.share),
  ]);
  const proposed = cuts.filter((cut) => cut.proposed).map(({ tensor }) => `'${tensor}'`);
  const above = [
    `${found.file}: ${counted(flops)} FLOPs, ${counted(found.parameters)} parameters, opset ${found.opset}`,
    `input ${input.name}: ${input.order}, ${input.channels} channels, ${input.height} x ${input.width}; output ${output.name}: ${output.classes} classes`,
    `Not counted: ${notCounted.map(({ op, count }) => `${op} ${count}`).join(', ') || 'nothing'}`,
    ...(unknownCost.length > 0 ? [`Of unknown cost, so that the FLOPs are too few: ${unknownCost.join(', ')}`] : []),
  ];
  const table = renderColumns(
    ['Gate', 'Tensor', 'Made by', 'One image', 'Layout', 'FLOPs so far', ...(has8Bit ? ['Of 8 bits'] : []), 'Share'],
    rows,
  );
  const ways = found.exits.map(({ leaves, flops: cost }, i) => {
    return [`${i + 1}`, leaves, counted(cost), percent(cost / found.exits.at(-1)!.flops)];
  });
  const heads = ['Exit', 'Leaves where', 'FLOPs', 'Share'];
  const own = ways.length === 0 ? [] : ['Exits that it has:', renderColumns(heads, ways, 'text')];
  const below = [
    ...found.notes.map((note) => `Changed on reading: ${note}`),
    ...(every > 1 ? [`${counted(shown.length)} of ${counted(cuts.length)} places; all of them: --json`] : []),
    'FLOPs are 2 x multiply-accumulates of convolutions, linear layers and matrix products, for one image.',
    ...(why === null ? [] : [`${proposed.length === 0 ? 'No gates: ' : ''}${why}`]),
    ...(proposed.length === 0 ? [] : [`* proposed: gatesAfter: 'auto', or [${proposed.join(', ')}]`]),
  ];
  return [...above.map(visible), ...own, table, ...below.map(visible)].join('\n');
}

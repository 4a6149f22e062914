import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openContext } from '../../src/cli/context.js';
import type { Preprocessing } from '../../src/data/preprocess.js';
import type { OpenGated } from '../../src/gated/open.js';
import type { ConfidenceKind } from '../../src/gates/confidence.js';
import type { PlacedGate } from '../../src/gates/contracts.js';
import { networkByName } from '../../src/networks/catalogue.js';
import type { GatePlace } from '../../src/networks/onnx.js';
import { type GatedSource, isUser, type LoadedMember, type LoadedNetwork } from '../../src/onnx/network.js';
import { encodeModel } from '../../src/onnx/proto.js';
import { silent } from '../../src/progress.js';
import { networksOf, openNetwork } from '../../src/run/source.js';
import { openUserNetwork } from '../../src/run/user-network.js';

/** A network of a stored model: of the catalogue, or an ONNX file of the folder. */
type StoredNetwork =
  | { readonly network: string; readonly checkpoint: string }
  | { readonly file: string; readonly gatesAfter: readonly string[]; readonly dataset: string };

/** A gated network or a cascade as it is timed: NAME.json of a subject's folder. */
interface StoredModel {
  readonly confidence: ConfidenceKind;
  readonly members: readonly { readonly of: StoredNetwork; readonly preprocessing: Preprocessing }[];
  /** Of every exit but the last. */
  readonly gates: readonly {
    readonly place: GatePlace;
    readonly features: number;
    readonly classes: number;
    readonly weights: readonly number[];
    readonly bias: readonly number[];
  }[];
}

/** What the engine loads. */
export interface Model {
  readonly source: GatedSource;
  readonly gates: readonly PlacedGate[];
  readonly confidence: ConfidenceKind;
}

/** Writes a gated network or a cascade without gates inside, independent of all caches. */
export async function storeModel(folder: string, name: string, opened: OpenGated): Promise<void> {
  const sources = networksOf(opened.source);
  const lowered = await opened.lowered();
  const loaded = 'members' in lowered ? lowered.members.map((member) => member.loaded) : [lowered];
  const members: StoredModel['members'][number][] = [];
  for (const [i, { checkpoint, preprocessing }] of sources.entries()) {
    members.push({ of: await storeNetwork(folder, `${name}-${i}`, loaded[i]!, checkpoint.path), preprocessing });
  }
  const gates = opened.gates.map(({ place, gate: { features, classes, weights, bias } }) => {
    return { place, features, classes, weights: [...weights], bias: [...bias] };
  });
  const stored: StoredModel = { confidence: opened.experiment.gates.confidence, members, gates };
  await writeFile(join(folder, `${name}.json`), JSON.stringify(stored));
}

async function storeNetwork(
  folder: string,
  name: string,
  loaded: LoadedNetwork,
  checkpoint: string,
): Promise<StoredNetwork> {
  if (!isUser(loaded)) return { network: loaded.network.name, checkpoint };
  const { graph, network } = loaded;
  await writeFile(join(folder, `${name}.onnx`), encodeModel(graph.model.file.model));
  return { file: `${name}.onnx`, gatesAfter: network.stages.map((stage) => stage.name), dataset: network.dataset };
}

export async function loadModel(folder: string, name: string): Promise<Model> {
  const stored = JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8')) as StoredModel;
  const { modelsRoot } = await openContext({});
  const gates = stored.gates.map(({ place, weights, bias, ...gate }): PlacedGate => {
    return { place, gate: { ...gate, weights: Float32Array.from(weights), bias: Float32Array.from(bias) } };
  });
  const members: LoadedMember[] = [];
  for (const { of, preprocessing } of stored.members) {
    const loaded =
      'network' in of
        ? await (await openNetwork(networkByName(of.network), of.checkpoint, modelsRoot, silent)).lowered()
        : await openUserNetwork(
            { kind: 'onnx', file: join(folder, of.file), gatesAfter: [...of.gatesAfter] },
            of.dataset,
          );
    members.push({ loaded, preprocessing, gates: [], isCut: false });
  }
  const last = members.at(-1)!;
  const { confidence } = stored;
  if (members.length === 1) return { source: last.loaded, gates, confidence };
  return { source: { network: last.loaded.network, given: last.preprocessing, members }, gates, confidence };
}

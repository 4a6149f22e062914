import { InputError } from '../errors.js';
import type { ConfidenceKind, Fitted } from '../gates/confidence.js';
import type { GatedBatch, PlacedGate } from '../gates/contracts.js';
import type { GatePlace } from '../networks/onnx.js';
import type { GatedSource, LoadedNetwork, NetworkOutputs } from '../onnx/network.js';
import type { EngineDescription } from '../timing/record.js';

export interface FeatureBatch {
  /** Pooled features of each gate, [batch, features] row-major. */
  readonly features: readonly Float32Array[];
  /** Final logits, [batch, classes] row-major; empty if only features were requested. */
  readonly logits: Float32Array;
}

export interface FeatureNetwork {
  /** @param images [count, channels, height, width], normalised */
  run(images: Float32Array, count: number): Promise<FeatureBatch>;
  close(): Promise<void>;
}

/** A network with gates. It stops computing an image at its exit (Algorithm 1). */
export interface GatedNetwork {
  /**
   * Runs a batch. The device has finished when the promise resolves.
   *
   * @param images [count, channels, height, width], normalised
   * @param thresholds one for each gate; an image leaves if its confidence is >= the threshold; Infinity closes a gate
   * @param fitted to each exit, if the network was loaded with `input`
   */
  run(
    images: Float32Array,
    count: number,
    thresholds: readonly number[],
    fitted?: readonly Fitted[],
  ): Promise<GatedBatch>;
  /** Does all one-time work for batches of this size. Absent in engines without such work. */
  prepare?(count: number): Promise<void>;
  close(): Promise<void>;
}

/** Executes networks. Each engine is a folder in `src/engines`. */
export interface Engine {
  describe(): EngineDescription;
  /**
   * @param places gates whose features are requested, checked with `checkPlaces`
   * @param wanted `features`: layers behind the last gate are not computed; there must be a gate
   * @throws InputError if the engine cannot run ONNX files of users
   */
  loadFeatures(network: LoadedNetwork, places: readonly GatePlace[], wanted?: NetworkOutputs): Promise<FeatureNetwork>;
  /**
   * @param gates in the order of their stages, places checked with `checkPlaces`
   * @param fitted `input`: each run takes what was fitted to the exits
   */
  loadGated(
    network: GatedSource,
    gates: readonly PlacedGate[],
    confidence: ConfidenceKind,
    fitted?: 'input',
  ): Promise<GatedNetwork>;
}

export class EngineUnavailable extends InputError {
  /** @param command what fixes it */
  constructor(
    readonly engine: string,
    readonly reason: string,
    readonly command: string,
  ) {
    super(`engine ${engine}: ${reason}; run: ${command}`);
  }
}

export function noGraphicsDriver(engine: string): EngineUnavailable {
  return new EngineUnavailable(
    engine,
    "no graphics driver (Vulkan, Metal or D3D) was found; the GPU's is needed, or a software one",
    'apt-get install chromium-common libvulkan1 && export VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json',
  );
}

/**
 * Makes cuDNN and cuBLAS compute in true float32 in engines loaded from now on. Their default for float32 is TF32, with a
 * mantissa of 10 bits: results would differ from those that another engine has cached.
 */
export function computeInFloat32(): void {
  process.env['NVIDIA_TF32_OVERRIDE'] = '0';
}

/** Node options with which a child process can load TypeScript as this one can. */
export function loaders(): string[] {
  return process.execArgv.flatMap((argument, at) => {
    if (!/^(--import|--require|-r|--loader)(=|$)/.test(argument)) return [];
    return argument.includes('=') ? [argument] : [argument, process.execArgv[at + 1]!];
  });
}

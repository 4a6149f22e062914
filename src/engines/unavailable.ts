import { InputError } from '../errors.js';

/** An engine does not work on this machine. */
export class EngineUnavailable extends InputError {
  /**
   * @param reason why it does not work
   * @param command what fixes it
   */
  constructor(
    readonly engine: string,
    readonly reason: string,
    readonly command: string,
  ) {
    super(`engine ${engine}: ${reason}; run: ${command}`);
  }
}

/** The error for a machine without a WebGPU adapter. */
export function noGraphicsDriver(engine: string): EngineUnavailable {
  return new EngineUnavailable(
    engine,
    "no graphics driver (Vulkan, Metal or D3D) was found; the GPU's is needed, or a software one",
    'apt-get install chromium-common libvulkan1 && export VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json',
  );
}

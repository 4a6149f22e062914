/**
 * Makes NVIDIA's libraries compute in true float32, in engines that are loaded from now on. By default cuDNN and cuBLAS use
 * TF32, with 10 bits of mantissa, for float32 convolutions and products: confidences would be those of a slightly different
 * network, and results that one engine has cached would not be valid for another.
 */
export function computeInFloat32(): void {
  process.env['NVIDIA_TF32_OVERRIDE'] = '0';
}

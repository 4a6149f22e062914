/**
 * Has NVIDIA's libraries compute float32 as float32, in engines that are loaded from now on. By default cuDNN and cuBLAS
 * take TF32, with 10 bits of mantissa, for float32 convolutions and products: confidences would be those of a slightly
 * different network, and what one engine has cached would not hold on another.
 */
export function computeInFloat32(): void {
  process.env['NVIDIA_TF32_OVERRIDE'] = '0';
}

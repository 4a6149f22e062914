/**
 * How gates of the paper's own networks on CIFAR-10 read a feature map, which the paper does not say: chosen on held-out images
 * (experiments/checkpoints/README.md, "Pooling of the gates"). The same in all experiments, so that they share features.
 */
export const pooling = ['2x2', '2x2', 'gap'] as const;

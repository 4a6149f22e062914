/**
 * What gates of Tables 1 and 2 are trained with, each with each: the choosing images take one for each gate. With all 45,000 images
 * that changes little, with a third of them it saves several points more FLOPs (docs/thresholds.md, "Lambda from a list").
 */
export const lambdas = [0.0005, 0.002, 0.008, 0.032];

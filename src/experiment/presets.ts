/** Size of a run: `paper`: the paper's networks and data; `laptop`: minutes on two cores; `smoke`: seconds, for CI. */
export const presetNames = ['paper', 'laptop', 'quick', 'smoke'] as const;
export type PresetName = (typeof presetNames)[number];

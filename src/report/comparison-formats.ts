/** Formats of a comparison; in a separate file, so that `dgate --help` does not load the renderers. */
export const comparisonFormats = ['table', 'csv', 'markdown', 'latex'] as const;
export type ComparisonFormat = (typeof comparisonFormats)[number];

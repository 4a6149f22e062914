/** How a comparison can be printed. Apart from what prints it, which `dgate --help` need not load. */
export const comparisonFormats = ['table', 'csv', 'markdown', 'latex'] as const;
export type ComparisonFormat = (typeof comparisonFormats)[number];

/** Search methods for a required accuracy, in the order of tables. The first three read section 3.1 of the paper. */
export const searchMethods = ['sequential', 'lookahead', 'coordinate', 'joint'] as const;
export type SearchMethod = (typeof searchMethods)[number];

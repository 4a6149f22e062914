/**
 * Search methods for a required accuracy, in the order of tables. `sequential`: one gate after the other (paper,
 * section 3.1); `joint`: all gates together.
 */
export const searchMethods = ['sequential', 'joint'] as const;
export type SearchMethod = (typeof searchMethods)[number];

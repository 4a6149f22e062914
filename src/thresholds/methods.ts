/**
 * How thresholds are searched for a required accuracy. `sequential`: one gate after the other (paper, section 3.1);
 * `joint`: all gates together. In this order they stand in tables.
 */
export const searchMethods = ['sequential', 'joint'] as const;
export type SearchMethod = (typeof searchMethods)[number];

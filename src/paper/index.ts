import type { Studies } from '../run/study.js';

/** The paper's analyses, claims and published tables, each loaded when a run first needs it. */
export const paperStudies: Studies = {
  analyse: async (study) => (await import('./analyse.js')).analyse(study),
  published: async (name) => (await import('./published.js')).readPublished(name),
  tableClaims: async (basis) => (await import('./tableClaims.js')).claimsOfTable(basis),
};

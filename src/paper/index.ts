import type { Analyses } from '../run/analyses.js';

/** The paper's analyses, claims and published tables, each loaded on first use. */
export const paperAnalyses: Analyses = {
  analyse: async (run) => (await import('./analyse.js')).analyse(run),
  published: async (name) => (await import('./published.js')).readPublished(name),
  tableClaims: async (basis) => (await import('./tableClaims.js')).claimsOfTable(basis),
};

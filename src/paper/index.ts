import type { z } from 'zod';
import { experimentSchemaOf } from '../experiment/checks.js';
import type { DeepReadonly } from '../experiment/rules.js';
import type { Findings } from '../report/findings.js';
import type { Analyses } from '../run/stages.js';
import { accuracyFlops } from './accuracyFlops.js';
import type { Analysis } from './analysis.js';
import { classDistribution } from './classDistribution.js';
import { frontier } from './frontier.js';
import { lossComparison } from './lossComparison.js';
import { places } from './places.js';
import { policies } from './policies.js';
import { publishedComparison } from './publishedComparison.js';
import { shallowErrors } from './shallowErrors.js';
import { shift } from './shift.js';
import { thresholdPlane } from './thresholdPlane.js';

/** Every analysis; a new one is a file and its name here. */
export const analyses = [
  shallowErrors,
  lossComparison,
  thresholdPlane,
  classDistribution,
  accuracyFlops,
  publishedComparison,
  frontier,
  shift,
  places,
  policies,
] as const satisfies readonly Analysis[];

/** What an experiment studies besides its table of thresholds, as a user writes it. */
export type AnalysisDefinition = DeepReadonly<z.input<(typeof analyses)[number]['options']>>;

/** Experiments whose analysis, if any, is one of the paper's. */
export const paperExperiments = experimentSchemaOf(analyses);

const nothing: Findings = { tables: [], figures: [], sheets: [] };

/** The paper's analyses, claims and published tables. */
export const paperAnalyses: Analyses = {
  analyse: async (run) => {
    const { analysis: chosen } = run.experiment;
    if (chosen === undefined) return nothing;
    const analysis: Analysis = analyses.find(({ options }) => options.shape.kind.value === chosen.kind)!;
    return { ...nothing, ...(await run.timed('analyse', () => analysis.compute(run, chosen))) };
  },
  published: async (name) => (await import('./published.js')).readPublished(name),
  judge: async (name) => (await import('./claims.js')).openJudge(name),
};

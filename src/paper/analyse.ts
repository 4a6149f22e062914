import type { Findings } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { accuracyFlops } from './accuracyFlops.js';
import { classDistribution } from './classDistribution.js';
import { lossComparison } from './lossComparison.js';
import { publishedComparison } from './publishedComparison.js';
import { shallowErrors } from './shallowErrors.js';
import { thresholdPlane } from './thresholdPlane.js';

const nothing: Findings = { tables: [], figures: [], sheets: [], claims: [] };

/** Findings of an experiment's analysis; empty without one. */
export async function analyse(run: ScoredRun): Promise<Findings> {
  const { analysis } = run.experiment;
  return analysis === undefined ? nothing : run.timed('analyse', () => findingsOf(run, analysis));
}

function findingsOf(run: ScoredRun, analysis: NonNullable<ScoredRun['experiment']['analysis']>): Promise<Findings> {
  switch (analysis.kind) {
    case 'shallow-errors':
      return shallowErrors(run, analysis);
    case 'loss-comparison':
      return lossComparison(run, analysis);
    case 'threshold-plane':
      return thresholdPlane(run, analysis);
    case 'class-distribution':
      return classDistribution(run, analysis);
    case 'accuracy-flops':
      return accuracyFlops(run, analysis);
    case 'published-comparison':
      return publishedComparison(run, analysis);
  }
}

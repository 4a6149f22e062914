import type { Findings } from '../report/findings.js';
import type { Study } from '../run/study.js';
import { accuracyFlops } from './accuracyFlops.js';
import { classDistribution } from './classDistribution.js';
import { lossComparison } from './lossComparison.js';
import { publishedComparison } from './publishedComparison.js';
import { shallowErrors } from './shallowErrors.js';
import { thresholdPlane } from './thresholdPlane.js';

const nothing: Findings = { tables: [], figures: [], sheets: [], claims: [] };

/** What the analysis of an experiment finds; nothing where it has none. */
export async function analyse(study: Study): Promise<Findings> {
  const { analysis } = study.experiment;
  return analysis === undefined ? nothing : study.timed('analyse', () => findingsOf(study, analysis));
}

function findingsOf(study: Study, analysis: NonNullable<Study['experiment']['analysis']>): Promise<Findings> {
  switch (analysis.kind) {
    case 'shallow-errors':
      return shallowErrors(study, analysis);
    case 'loss-comparison':
      return lossComparison(study, analysis);
    case 'threshold-plane':
      return thresholdPlane(study, analysis);
    case 'class-distribution':
      return classDistribution(study, analysis);
    case 'accuracy-flops':
      return accuracyFlops(study, analysis);
    case 'published-comparison':
      return publishedComparison(study, analysis);
  }
}

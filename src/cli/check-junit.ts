import type { Moved } from '../check/baseline.js';
import type { Measure } from '../check/measure.js';
import { markupText } from '../escape.js';

/** What became of one experiment's check. */
export interface Checked {
  readonly experiment: string;
  readonly measures: readonly Measure[];
  readonly moved: readonly Moved[];
  readonly seconds: number;
}

/** A JUnit report: a suite for each experiment, a case for each number; the form that Jenkins and GitLab read. */
export function renderJunit(checked: readonly Checked[]): string {
  const suites = checked.map(({ experiment, measures, moved, seconds }) => {
    const failed = moved.filter(({ isRegression }) => isRegression);
    const same = measures.filter(
      (measure) =>
        typeof measure.tolerance === 'number' &&
        !failed.some(({ item, quantity }) => item === measure.item && quantity === measure.quantity),
    );
    const open = (item: string, quantity: string): string =>
      `<testcase classname="dgate.${markupText(experiment)}" name="${markupText(`${item}: ${quantity}`)}" time="0"`;
    const cases = [
      ...failed.map((one) => {
        const { item, quantity, from = 'not there', to = 'not there', tolerance } = one;
        const message = `from ${from} to ${to}, allowed ${typeof tolerance === 'number' ? tolerance : 0}`;
        return `    ${open(item, quantity)}><failure message="${markupText(message)}"/></testcase>`;
      }),
      ...same.map(({ item, quantity }) => `    ${open(item, quantity)}/>`),
    ];
    const counts = `tests="${cases.length}" failures="${failed.length}" errors="0" time="${seconds.toFixed(3)}"`;
    return [`  <testsuite name="dgate check ${markupText(experiment)}" ${counts}>`, ...cases, '  </testsuite>'].join(
      '\n',
    );
  });
  return ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites>', ...suites, '</testsuites>', ''].join('\n');
}

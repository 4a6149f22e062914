import { z } from 'zod';
import { whole } from '../experiment/rules.js';
import { counted, listed } from '../json.js';
import type { FindingTable, ImageSheet } from '../report/findings.js';
import type { ScoredRun } from '../run/stages.js';
import { wilson } from '../statistics/intervals.js';
import {
  classIndices,
  classNames,
  defineAnalysis,
  ends,
  type Grouping,
  gateNumber,
  groupClasses,
  groups,
  sheetRow,
  tableOf,
} from './analysis.js';

/** Numbers of images by true class (row) and predicted class (column). */
type Confusion = readonly (readonly number[])[];

export function confusionOf(labels: Int32Array, predicted: Int32Array, classes: number): Confusion {
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let i = 0; i < labels.length; i++) counts[labels[i]!]![predicted[i]!]!++;
  return counts;
}

/**
 * Errors of some true classes (positions), those that stay within the class's group (`inGroup`), and their share with Wilson's
 * 95 % interval. `uniformChance`: the expected share if errors were uniform over the other classes; `marginalChance`: if they
 * were distributed like the gate's predictions.
 */
export function groupErrors(confusion: Confusion, { of }: Grouping, classes: readonly number[]) {
  const given = confusion.map((_, column) => confusion.reduce((sum, row) => sum + row[column]!, 0));
  let [images, errors, inGroup, uniform, marginal] = [0, 0, 0, 0, 0];
  for (const label of classes) {
    const others = confusion.map((_, other) => other).filter((other) => other !== label);
    const siblings = others.filter((other) => of[other] === of[label]);
    const sum = (members: readonly number[], counts: readonly number[]): number =>
      members.reduce((total, member) => total + counts[member]!, 0);
    const wrong = sum(others, confusion[label]!);
    images += wrong + confusion[label]![label]!;
    errors += wrong;
    inGroup += sum(siblings, confusion[label]!);
    uniform += wrong * (siblings.length / others.length);
    const givenToOthers = sum(others, given);
    marginal += givenToOthers === 0 ? 0 : wrong * (sum(siblings, given) / givenToOthers);
  }
  const perError = (value: number): number => (errors === 0 ? 0 : value / errors);
  const [share, uniformChance, marginalChance] = [perError(inGroup), perError(uniform), perError(marginal)];
  return { images, errors, inGroup, share, interval: wilson(inGroup, errors), uniformChance, marginalChance };
}

const options = z.strictObject({
  kind: z.literal('shallow-errors'),
  /** Gate, counted from 1. Default 1. */
  gate: gateNumber.default(1),
  /** Classes whose images are shown. */
  classes: classNames,
  /** All classes of the dataset, each in one group. */
  groups,
  /** Images in a row. Default 6. */
  images: whole(1, 100).default(6),
});
type Options = z.output<typeof options>;

/** Figure 1: images that one gate gets right and wrong, and the errors within the superordinate class. */
export const shallowErrors = defineAnalysis({
  options,
  problems({ gate }, { gates }) {
    const count = gates.after.length;
    return gate <= count ? [] : [{ path: ['gate'], message: `a gate, 1 to ${count}`, input: gate }];
  },
  async compute(run, options) {
    const { classes, labels, count } = run.testImages;
    const grouping = groupClasses(classes, options.groups);
    const shown = classIndices(classes, options.classes, 'analysis.classes');
    const predicted = run.scores.test.classes[options.gate - 1]!;
    const confusion = confusionOf(labels, predicted, classes.length);
    const stage = run.gates[options.gate - 1]!.stage;
    const where = `gate ${options.gate} (after stage ${stage}), ${counted(count)} test images`;
    return {
      tables: [errorTable(confusion, grouping, classes), confusionTable(confusion, classes, where)],
      sheets: [await sheetOf(run, options, shown, predicted, where)],
    };
  },
});

function errorTable(confusion: Confusion, grouping: Grouping, classes: readonly string[]): FindingTable {
  const all = [...classes.keys()];
  const named = (true_class: string, labels: readonly number[]) => {
    return { true_class, ...groupErrors(confusion, grouping, labels) };
  };
  const ofGroup = (group: number): number[] => all.filter((label) => grouping.of[label] === group);
  const rows = [
    named('all', all),
    ...grouping.names.map((name, group) => named(name, ofGroup(group))),
    ...classes.map((name, label) => named(name, [label])),
  ];
  const consoleRows = 1 + grouping.names.length + (classes.length > 20 ? 0 : classes.length);
  const title = 'Errors that stay within the superordinate category';
  return tableOf({ name: 'errors', title, consoleRows }, rows, [
    'true_class',
    'images',
    'errors',
    ['errors_within_category', ({ inGroup }) => inGroup],
    ['within_category_fraction', ({ errors, share }) => (errors === 0 ? null : share)],
    ...ends('wilson95', ({ interval }: (typeof rows)[number]) => interval),
    ['chance_uniform_fraction', ({ errors, uniformChance }) => (errors === 0 ? null : uniformChance)],
    ['chance_by_predictions_fraction', ({ errors, marginalChance }) => (errors === 0 ? null : marginalChance)],
  ]);
}

function confusionTable(confusion: Confusion, classes: readonly string[], where: string): FindingTable {
  return {
    name: 'confusion',
    title: `Confusion of ${where}: images by true and predicted class`,
    // ImageNet has two classes named crane.
    columns: [
      'true_class',
      ...classes.map((name, i) => `given_${classes.indexOf(name) === i ? name : `${name}_${i}`}_images`),
    ],
    rows: confusion.map((row, label) => [classes[label]!, ...row]),
  };
}

async function sheetOf(
  run: ScoredRun,
  options: Options,
  shown: readonly number[],
  predicted: Int32Array,
  where: string,
): Promise<ImageSheet> {
  const { classes, labels } = run.testImages;
  const caption = (image: number): string => classes[predicted[image]!]!;
  const rows = [];
  for (const label of shown) {
    for (const tone of ['right', 'wrong'] as const) {
      const candidates = [...labels.keys()].filter(
        (image) => labels[image] === label && (predicted[image] === label) === (tone === 'right'),
      );
      const about = `${classes[label]}, ${tone === 'right' ? 'classified' : 'misclassified'}`;
      const stream = `${classes[label]} ${tone}`;
      rows.push(await sheetRow(run, candidates, options.images, stream, { label: about, tone, caption }));
    }
  }
  return {
    name: 'examples',
    title: `Right and wrong on shallow features: ${listed(options.classes)}`,
    caption: `${where}; a random choice (seed ${run.experiment.seed}), captions: the predicted class of each image`,
    rows: rows.filter((row) => row.images.length > 0),
  };
}

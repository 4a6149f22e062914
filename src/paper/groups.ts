import { Problems } from '../errors.js';
import type { ClassGroups } from './analysis.js';

/** Superordinate categories of a dataset's classes. */
export interface Grouping {
  readonly names: readonly string[];
  /** Group of each class, a position in `names`. */
  readonly of: readonly number[];
}

/**
 * The group of every class.
 *
 * @throws InputError that lists the classes that are unknown, in several groups or in none
 */
export function groupClasses(classes: readonly string[], groups: ClassGroups): Grouping {
  const names = Object.keys(groups);
  const problems = new Problems();
  const of = classes.map((name) => {
    const homes = names.filter((group) => groups[group]!.includes(name));
    if (homes.length !== 1) {
      const found = homes.length === 0 ? 'in no group' : `in ${homes.join(' and ')}`;
      problems.add(`analysis.groups: class "${name}" is ${found}; valid: every class in one group`);
    }
    return names.indexOf(homes[0] ?? '');
  });
  for (const group of names) addUnknown(problems, groups[group]!, classes, `analysis.groups.${group}`);
  problems.throwIfAny();
  return { names, of };
}

/** Positions of classes by their names. @throws InputError that lists the unknown classes */
export function classIndices(classes: readonly string[], names: readonly string[], where: string): number[] {
  const problems = new Problems();
  addUnknown(problems, names, classes, where);
  problems.throwIfAny();
  return names.map((name) => classes.indexOf(name));
}

function addUnknown(problems: Problems, names: readonly string[], classes: readonly string[], where: string): void {
  const shown = classes.length > 20 ? [...classes.slice(0, 20), '...'] : classes;
  for (const name of names) {
    if (!classes.includes(name)) problems.add(`${where}: "${name}" is not a class; valid: ${shown.join(', ')}`);
  }
}

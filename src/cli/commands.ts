import type { CommandModule } from 'yargs';
import { cacheCommand } from './cache.js';
import { checkCommand } from './check.js';
import { compareCommand } from './compare.js';
import { completionCommand } from './completion.js';
import { dataCommand } from './data.js';
import { doctorCommand } from './doctor.js';
import { exportCommand } from './export.js';
import { flopsCommand } from './flops.js';
import { listCommand } from './list.js';
import { modelCommand } from './model.js';
import { predictCommand } from './predict.js';
import { runCommand } from './run.js';
import { submitCommand } from './submit.js';
import { taskCommand } from './task.js';
import { timeCommand } from './time.js';
import { trainCommand } from './train.js';

/**
 * Every command. These modules hold names and options only; what a command needs to do its work it imports when it
 * runs, so that `dgate --help` loads no engine, no image library and no schema.
 */
// biome-ignore lint/complexity/noBannedTypes: yargs' own type for "no options yet"
export const commands: readonly CommandModule<{}, never>[] = [
  runCommand,
  timeCommand,
  exportCommand,
  predictCommand,
  checkCommand,
  compareCommand,
  submitCommand,
  taskCommand,
  listCommand,
  flopsCommand,
  dataCommand,
  modelCommand,
  trainCommand,
  cacheCommand,
  doctorCommand,
  completionCommand,
] as never;

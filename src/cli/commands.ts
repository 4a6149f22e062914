import type { Command } from './command.js';
import { cacheCommand } from './commands/cache.js';
import { checkCommand } from './commands/check.js';
import { compareCommand } from './commands/compare.js';
import { completionCommand } from './commands/completion.js';
import { dataCommand } from './commands/data.js';
import { doctorCommand } from './commands/doctor.js';
import { exportCommand } from './commands/export.js';
import { flopsCommand } from './commands/flops.js';
import { frontierCommand } from './commands/frontier.js';
import { listCommand } from './commands/list.js';
import { modelCommand } from './commands/model.js';
import { predictCommand } from './commands/predict.js';
import { rerunCommand } from './commands/rerun.js';
import { runCommand } from './commands/run.js';
import { runsCommand } from './commands/runs.js';
import { submitCommand } from './commands/submit.js';
import { taskCommand } from './commands/task.js';
import { timeCommand } from './commands/time.js';
import { trainCommand } from './commands/train.js';

/**
 * Every command. These modules hold names and options only; what a command needs to do its work it imports when it
 * runs, so that `dgate --help` loads no engine, no image library and no schema.
 */
export const commands: readonly Command[] = [
  runCommand,
  timeCommand,
  exportCommand,
  predictCommand,
  checkCommand,
  runsCommand,
  rerunCommand,
  compareCommand,
  submitCommand,
  taskCommand,
  frontierCommand,
  listCommand,
  flopsCommand,
  dataCommand,
  modelCommand,
  trainCommand,
  cacheCommand,
  doctorCommand,
  completionCommand,
];

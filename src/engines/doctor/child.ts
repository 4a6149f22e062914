/** The process that `diagnose` starts to check an engine. Its argument is the engine's id. */
import { messageOf } from '../../errors.js';
import { endWithParent } from '../../store/processes.js';
import { EngineUnavailable } from '../engine.js';
import { createEngine } from '../registry.js';
import { type Diagnosis, measureEngine, type Report } from './diagnose.js';

endWithParent(process.ppid);
const id = process.argv[2] ?? '';
const send = (report: Report): Promise<void> => new Promise((sent) => process.send?.(report, () => sent()));

let diagnosis: Diagnosis;
try {
  const engine = await createEngine(id);
  await send('ready');
  diagnosis = { works: true, ...engine.describe(), ...(await measureEngine(engine)) };
} catch (error) {
  const [reason, command] =
    error instanceof EngineUnavailable
      ? [error.reason, error.command]
      : [messageOf(error).split('\n')[0] ?? '', 'npm ci'];
  diagnosis = { works: false, id, reason, command };
}
await send(diagnosis);
process.exit(0); // an engine may leave threads or devices behind

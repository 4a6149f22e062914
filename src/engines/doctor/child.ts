/** Checks one engine in a separate process: `diagnose.ts` starts it with the engine's id. */
import { messageOf } from '../../errors.js';
import { endWithParent } from '../../store/supervised.js';
import { type Engine, EngineUnavailable } from '../engine.js';
import { createEngine } from '../registry.js';
import { type Diagnosis, measureEngine, type Report } from './diagnose.js';

endWithParent(process.ppid);
const id = process.argv[2] ?? '';
const send = (report: Report): Promise<void> => new Promise((sent) => process.send?.(report, () => sent()));

async function check(engine: Engine): Promise<Diagnosis> {
  return { works: true, ...engine.describe(), ...(await measureEngine(engine)) };
}

let diagnosis: Diagnosis;
try {
  const engine = await createEngine(id);
  await send({ ready: engine.describe() });
  diagnosis = await check(engine);
} catch (error) {
  const [reason, command] =
    error instanceof EngineUnavailable
      ? [error.reason, error.command]
      : [messageOf(error).split('\n')[0] ?? '', 'npm ci'];
  diagnosis = { works: false, id, reason, command };
}
await send({ diagnosis });
process.exit(0); // an engine may leave threads or devices behind

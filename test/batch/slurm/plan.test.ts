import { expect } from 'chai';
import { type PlannedRun, planTasks, refusalOf, stageScript } from '../../../src/batch/slurm/jobs.js';

import { resolveExperiment } from '../../../src/experiment/resolve.js';
import type { Experiment } from '../../../src/experiment/schema.js';

const definition = {
  name: 'mine',
  title: 'Two gates',
  network: 'resnet20-cifar10',
  checkpoint: 'a.safetensors',
  gates: { after: [1, 2] },
  thresholds: { fixed: [[1, 1]] },
};

const experiment = (...settings: [path: string, value: unknown][]): Experiment =>
  resolveExperiment(
    definition,
    'mine',
    'laptop',
    settings.map(([path, value]) => ({ path, value })),
  );

const planned = (...experiments: Experiment[]) => {
  const runs = experiments.map((one): PlannedRun => ({ experiment: one, command: 'dgate run mine' }));
  const cells = experiments.map((one) => ({ experiment: one, settings: {} }));
  return planTasks('laptop', runs, [{ command: '', cells, runs: runs.map((_, i) => [i]) }], 3).tasks;
};

const ids = (tasks: ReturnType<typeof planned>): string[] => tasks.map(({ id }) => id);

describe('the tasks of a submission', () => {
  it('are the stages of a run; each needs the ones before it', () => {
    const tasks = planned(experiment());
    expect(ids(tasks)).to.deep.equal(['data-0', 'extract-0', 'extract-1', 'extract-2', 'gate-0', 'gate-1', 'run-0']);
    const needs = Object.fromEntries(tasks.map((task) => [task.id, task.needs]));
    expect(needs['extract-1']).to.deep.equal(['data-0']);
    expect(needs['gate-1']).to.deep.equal(['extract-0', 'extract-1', 'extract-2']);
    expect(needs['run-0']).to.deep.equal(['gate-0', 'gate-1']);
  });

  it('are shared by combinations: another loss extracts nothing, another confidence trains nothing', () => {
    const count = (tasks: ReturnType<typeof planned>, stage: string): number =>
      tasks.filter((task) => task.stage === stage).length;
    const losses = planned(experiment(), experiment(['gates.loss', 'cross-entropy']));
    expect([count(losses, 'extract'), count(losses, 'gate'), count(losses, 'run')]).to.deep.equal([3, 4, 2]);
    const confidences = planned(experiment(), experiment(['gates.confidence', 'softmax']));
    expect([count(confidences, 'gate'), count(confidences, 'run')]).to.deep.equal([2, 2]);
    expect(count(confidences, 'table')).to.equal(1);
  });

  it('share an extraction over seeds only where seeds choose no images', () => {
    const extractions = (...images: [string, unknown][]): number => {
      const tasks = planned(experiment(...images), experiment(...images, ['seed', 1]));
      return tasks.filter(({ stage }) => stage === 'extract').length;
    };
    expect(extractions()).to.equal(3);
    expect(extractions(['trainImages', 1000])).to.equal(6);
  });
});

describe('the script of a stage', () => {
  const script = (resources: object): string =>
    stageScript({
      stage: 'extract',
      tasks: 4,
      folder: '/shared/my cache/submissions/1',
      workingFolder: '/shared/mine',
      resources: { sbatch: [], ...resources },
      program: ['/usr/bin/node', "/it's/dgate.js"],
      jobName: 'dgate-mine-extract',
    });

  it('is an array whose tasks know their position and may be requeued', () => {
    const text = script({ atOnce: 2 });
    expect(text).to.include('#SBATCH --array=0-3%2\n');
    expect(text).to.include('#SBATCH --requeue\n');
    expect(text).to.include('#SBATCH --output="/shared/my cache/submissions/1/logs/extract-%a.log"\n');
    const last = text.trim().split('\n').at(-1);
    expect(last).to.equal(
      `exec /usr/bin/node '/it'\\''s/dgate.js' task '/shared/my cache/submissions/1' "extract-$SLURM_ARRAY_TASK_ID"`,
    );
  });

  it('asks for what it is told to', () => {
    const text = script({
      partition: 'gpu',
      gpus: 'a100:1',
      time: '2:00:00',
      cpus: 8,
      mem: '16G',
      sbatch: ['--qos=x'],
    });
    for (const line of ['partition=gpu', 'gpus=a100:1', 'time=2:00:00', 'cpus-per-task=8', 'mem=16G', 'qos=x']) {
      expect(text).to.include(`#SBATCH --${line}\n`);
    }
    expect(script({})).to.not.include('--gpus');
  });
});

describe('what Slurm refuses', () => {
  it('is one line; where no cluster answers, with what to do', () => {
    const partition =
      'sbatch: error: invalid partition specified: gpu\nsbatch: error: Batch job submission failed: Invalid\n';
    expect(refusalOf(partition)).to.equal('invalid partition specified: gpu; Batch job submission failed: Invalid');
    expect(refusalOf('sbatch: fatal: Could not establish a configuration source\n')).to.equal(
      'Could not establish a configuration source; run this where a Slurm cluster answers, or try --dry-run',
    );
    expect(refusalOf('slurm_load_jobs error: Unable to contact slurm controller (connect failure)')).to.match(
      /^slurm_load_jobs error: Unable to contact slurm controller \(connect failure\); run this where /,
    );
  });
});

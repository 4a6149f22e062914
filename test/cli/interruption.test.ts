import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { filesBelow } from '../run/workplace.js';
import {
  CTRL_C,
  finished,
  hasTerminals,
  makePlace,
  type Place,
  type Running,
  startCli,
  writeTinyExperiment,
} from './cli.js';

// Every work here takes forever, or minutes: a command that does not react ends in mocha's timeout.
describe('an interruption is heard, whatever the command is doing', () => {
  let place: Place;
  let busy: string;
  let slow: string;

  before(async () => {
    place = await makePlace();
    busy = join(place.folder, 'busy.mjs');
    await writeFile(busy, "process.stderr.write('busy'); for (;;) {}");
    slow = await writeTinyExperiment(place.folder, 'seed: 0');
  });
  after(() => place.remove());

  const text = ({ stdout, stderr }: Running): string => `${stdout}${stderr}`;

  async function until(running: Running, said: RegExp): Promise<void> {
    while (!said.test(text(running))) {
      if (running.process.exitCode !== null) throw new Error(`ended without ${said}: ${text(running)}`);
      await delay(5);
    }
  }

  /** Commands, what they have said when they are at it, and how they are started. */
  const works = {
    'a step that never ends': () => ({ args: ['run', busy], at: /busy/, env: {} }),
    'images that never come, the spinner turning': () => {
      return { args: ['run', slow], at: /extracting on ort-cpu[\s\S]*features/, env: { TEST_BATCH_MS: '1000000000' } };
    },
    'training in plain JavaScript, minutes a step': () => {
      const out = join(place.folder, 'trained.safetensors');
      return {
        args: ['train', 'resnet110-cifar10', '--engine', 'tfjs-cpu', '--out', out],
        at: /engine: tfjs-cpu/,
        env: {},
      };
    },
  };

  function start(name: keyof typeof works, terminal: boolean): { running: Running; at: RegExp } {
    const { args, at, env } = works[name]();
    return { running: startCli([...args, ...place.options], { generated: true, terminal, env }), at };
  }

  async function expectNothingLeft(): Promise<void> {
    const left = (await filesBelow(place.folder)).filter((name) => /\.(tmp|lock)$|\.tmp\//.test(name));
    expect(left).to.deep.equal([]);
  }

  for (const name of Object.keys(works) as (keyof typeof works)[]) {
    for (const [signal, status] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const) {
      it(`${signal}: ${name}`, async () => {
        const { running, at } = start(name, false);
        const done = finished(running);
        await until(running, /training in/.test(name) ? at : /busy|extracting on/);
        running.process.kill(signal);
        const ended = await done;
        expect(ended.status, ended.stderr).to.equal(status);
        expect(ended.stderr).to.match(/\ndgate: interrupted; .+\n$/);
        await expectNothingLeft();
      });
    }

    it(`Ctrl-C on a terminal: ${name}`, async function () {
      if (!hasTerminals) this.skip();
      const { running, at } = start(name, true);
      const done = finished(running);
      await until(running, at);
      running.process.stdin!.write(CTRL_C);
      const ended = await done;
      expect(ended.status, ended.stdout).to.equal(130);
      expect(ended.stdout).to.match(/\ndgate: interrupted; .+\r\n$/);
      await expectNothingLeft();
    });
  }

  it('a command that is killed does not go on without the one who started it', async () => {
    const { running, at } = start('a step that never ends', false);
    const done = finished(running); // when its work, which holds the other ends of stdout and stderr, has ended, too
    await until(running, at);
    running.process.kill('SIGKILL');
    expect((await done).status).to.equal(null);
  });

  it('a command whose work is killed says so in one line', async function () {
    if (process.platform !== 'linux') this.skip();
    const { running, at } = start('a step that never ends', false);
    const done = finished(running);
    await until(running, at);
    const { pid } = running.process;
    process.kill(Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')), 'SIGKILL');
    const { status, stderr } = await done;
    expect(status).to.equal(137);
    expect(stderr).to.match(/^busydgate: ended by SIGKILL \(.*\); run the same command again to resume\n$/);
  });
});

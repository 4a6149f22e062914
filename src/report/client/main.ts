/** Moves the thresholds on a run's page. Runs in a browser, offline. */
import { type Evaluation, evaluate, exitOf, type Scores, type Thresholds } from '../../thresholds/evaluate.js';
import { defaultLevels, paretoFrontier } from '../../thresholds/frontier.js';
import { achievableLevels, levelOf } from '../../thresholds/grid.js';
import { jointSearch } from '../../thresholds/methods.js';
import type { ExplorerData } from '../explorer.js';
import { confusions, element, type MovePoint, openChart, thumbnailsAt } from './parts.js';

const data = JSON.parse(document.getElementById('explorer-data')!.textContent!) as ExplorerData;
const { costs, count } = data;
const CLOSED = Number.POSITIVE_INFINITY;
const scores = decodeScores();
const images = Int32Array.from({ length: count }, (_, i) => i);
/** Every distinct threshold of each gate, closed first. */
const levels = scores.confidences.map((confidences) => achievableLevels(confidences, images));
const closed = scores.confidences.map(() => CLOSED);
const original = evaluate(scores, closed, costs);
const percent = (share: number, digits = 2): string => `${(100 * share).toFixed(digits)} %`;
const saved = (flops: number): number => 1 - flops / data.originalFlops;

function decodeScores(): Scores {
  const bytes = (text: string): ArrayBuffer => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;
  const classes = (text: string): Int32Array => Int32Array.from(new Uint16Array(bytes(text)));
  const confidences = (text: string) => {
    const raw = bytes(text);
    return raw.byteLength === 4 * count ? new Float32Array(raw) : new Float64Array(raw);
  };
  return {
    count,
    classes: data.classes.map(classes),
    confidences: data.confidences.map(confidences),
    original: classes(data.original),
    labels: classes(data.labels),
  };
}

/** The shortest number between the next lower confidence and the level's own: the same images leave. */
function shortest(gate: number, level: number): number {
  const [value, below] = [levels[gate]![level]!, levels[gate]![level + 1] ?? Number.NEGATIVE_INFINITY];
  if (!Number.isFinite(value)) return value;
  for (let digits = 2; digits < 17; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (candidate <= value && candidate > below) return candidate;
  }
  return value;
}

const gates = scores.confidences.map((_, gate) => {
  const name = data.exits[gate]!;
  const slider = element('input', { type: 'range', min: '0', step: '1', max: String(levels[gate]!.length - 1) });
  slider.setAttribute('aria-label', `${name}: images that may leave, from none to all`);
  const number = element('input', { type: 'number', step: 'any', placeholder: 'closed' });
  number.setAttribute('aria-label', `${name}: threshold; empty closes the exit`);
  slider.addEventListener('input', () => {
    showThreshold(gate, shortest(gate, Number(slider.value)));
    changed();
  });
  number.addEventListener('input', () => {
    slider.value = String(levelAt(gate, thresholdAt(gate)));
    changed();
  });
  return { slider, number, share: element('output', {}) };
});

/** The lowest level at or above a threshold: the same images leave at both. */
function levelAt(gate: number, threshold: number): number {
  const level = levelOf(levels[gate]!, threshold);
  return levels[gate]![level] === threshold ? level : Math.max(0, level - 1);
}

/** The threshold in a gate's number field; the slider follows it. */
function thresholdAt(gate: number): number {
  const { value } = gates[gate]!.number;
  return value === '' ? CLOSED : Number(value);
}

function showThreshold(gate: number, threshold: number): void {
  gates[gate]!.number.value = Number.isFinite(threshold) ? String(threshold) : '';
}

const thresholdsNow = (): number[] => gates.map((_, gate) => thresholdAt(gate));

function setThresholds(thresholds: Thresholds): void {
  thresholds.forEach((threshold, gate) => {
    const level = levelAt(gate, threshold);
    gates[gate]!.slider.value = String(level);
    showThreshold(gate, threshold === levels[gate]![level] ? shortest(gate, level) : threshold);
  });
  changed();
}

const start = element('select', { id: 'explorer-row' });
for (const [i, { name }] of data.rows.entries()) start.append(element('option', { value: String(i) }, name));
const startThresholds = (): Thresholds => data.rows[Number(start.value)]?.thresholds.map((t) => t ?? CLOSED) ?? closed;
start.addEventListener('change', () => setThresholds(startThresholds()));

const lost = element('input', { type: 'number', id: 'explorer-lost', step: '0.1', value: '0.5' });
const find = element('button', { type: 'button' }, 'Find the cheapest');
find.addEventListener('click', () => {
  const required = original.accuracy - Number(lost.value) / 100;
  const found = jointSearch(scores, costs, images, { kind: 'accuracy', required }, frontier());
  if (found === undefined) message.textContent = 'No thresholds lose so little; try more points.';
  else setThresholds(found.thresholds);
});

const copy = element('button', { type: 'button' }, 'Copy as a command');
copy.addEventListener('click', () => {
  const command = `${data.command} --set "thresholds.fixed=[[${thresholdsNow().join(',')}]]"`;
  message.textContent = command;
  navigator.clipboard?.writeText(command).catch(() => {}); // the page shows the command as well
});

const message = element('output', { className: 'message', id: 'explorer-message' });
const result = element('output', { id: 'explorer-result' });
const confusion = element('div', { id: 'explorer-confusion' });
const sides = element('div', { id: 'explorer-sides' });
let movePoint: MovePoint | undefined;
let searched: ReturnType<typeof paretoFrontier> | undefined;
function frontier() {
  searched ??= paretoFrontier(scores, costs, images, defaultLevels(gates.length));
  return searched;
}

let isDrawPending = false;
/** Draws at most once per frame. */
function changed(): void {
  if (isDrawPending) return;
  isDrawPending = true;
  requestAnimationFrame(() => {
    isDrawPending = false;
    draw();
  });
}

function draw(): void {
  const thresholds = thresholdsNow();
  const evaluation = evaluate(scores, thresholds, costs);
  gates.forEach(({ share }, gate) => {
    share.textContent = `${evaluation.exits[gate]!.toLocaleString('en')} leave`;
  });
  result.textContent = summary(evaluation);
  const exits = images.map((image) => exitOf(scores, thresholds, image));
  confusion.replaceChildren(confusions(data, scores, exits));
  sides.replaceChildren(...gates.map((_, gate) => thumbnailsAt(data, scores, exits, gate, thresholds[gate]!)));
  movePoint?.(saved(evaluation.flops), evaluation.accuracy);
}

function summary({ correct, accuracy, flops, exits }: Evaluation): string {
  const points = 100 * (original.accuracy - accuracy);
  return [
    `${percent(accuracy)} right (${correct} of ${count}), ${points.toFixed(2)} points lost`,
    `${percent(saved(flops), 1)} of the FLOPs saved (${(flops / 1e6).toPrecision(4)} MFLOPs an image)`,
    `${data.exits.at(-1)}: ${exits.at(-1)!.toLocaleString('en')}`,
  ].join('; ');
}

const section = document.getElementById('explore')!;
const chart = element('div', { id: 'explorer-chart' });
section
  .querySelector('.explorer')!
  .append(
    element('p', {}, element('label', { htmlFor: start.id }, 'Start from '), start),
    ...gates.map(({ slider, number, share }, gate) =>
      element('p', { className: 'gate' }, element('span', {}, data.exits[gate]!), slider, number, share),
    ),
    element('p', {}, element('label', { htmlFor: lost.id }, 'At most '), lost, ' points lost: ', find, ' ', copy),
    element('p', {}, message),
    element('p', { className: 'result' }, result),
    element('div', { className: 'pictures' }, chart, confusion),
    element('h3', {}, 'On either side of each threshold'),
    sides,
  );
section.hidden = false;
if (data.thumbnails !== undefined) section.style.setProperty('--sheet', `url(${data.thumbnails.url})`);
setThresholds(startThresholds());
// The frontier takes up to a second: show the page first.
setTimeout(() => {
  const curve = frontier().points.map(({ flops, accuracy }): [number, number] => [saved(flops), accuracy]);
  movePoint = openChart(chart, curve, original.accuracy);
  draw();
});

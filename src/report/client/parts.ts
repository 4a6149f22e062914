import type { Scores } from '../../thresholds/evaluate.js';
import type { ExplorerData } from '../explorer.js';

/** Most classes for a table; with more, only the most frequent confusions are listed. */
const MOST_CLASSES = 20;
const MOST_LISTED = 12;
/** Most images shown on each side of a threshold. */
const BESIDE = 8;

/** An element with these properties and children. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]>,
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const answerOf = (scores: Scores, exits: Int32Array, image: number): number =>
  (scores.classes[exits[image]!] ?? scores.original)[image]!;

/** True against predicted classes: a table, or the most frequent confusions. @param exits of each image, [images] */
export function confusions({ classNames }: ExplorerData, scores: Scores, exits: Int32Array): HTMLElement {
  const size = classNames.length;
  const counts = new Map<number, number>();
  for (let image = 0; image < scores.count; image++) {
    const cell = scores.labels[image]! * size + answerOf(scores, exits, image);
    counts.set(cell, (counts.get(cell) ?? 0) + 1);
  }
  const wrong = [...counts].filter(([cell]) => Math.floor(cell / size) !== cell % size).sort((a, b) => b[1] - a[1]);
  if (size > MOST_CLASSES) {
    const lines = wrong.slice(0, MOST_LISTED).map(([cell, number]) => {
      const [label, answer] = [classNames[Math.floor(cell / size)], classNames[cell % size]];
      return element('li', {}, `${number} ${label} answered as ${answer}`);
    });
    return element('div', {}, element('h3', {}, 'Most frequent confusions'), element('ul', {}, ...lines));
  }
  const largest = wrong[0]?.[1] ?? 1;
  const rows = classNames.map((name, row) => {
    const cells = classNames.map((_, column) => {
      const number = counts.get(row * size + column) ?? 0;
      const cell = element('td', {}, number === 0 ? '' : String(number));
      if (row === column) cell.className = 'right';
      else cell.style.setProperty('--share', String(number / largest));
      return cell;
    });
    return element('tr', {}, element('th', { scope: 'row' }, name), ...cells);
  });
  const head = classNames.map((name) => element('th', { title: name }, name.slice(0, 4)));
  const table = element('table', { className: 'confusion' }, element('tr', {}, element('th', {}), ...head), ...rows);
  const title = element('h3', {}, 'True class (rows) and answer (columns)');
  return element('div', {}, title, element('div', { className: 'wide' }, table));
}

/** The images nearest to a gate's threshold on each side, of those that reach the gate. */
export function thumbnailsAt(
  data: ExplorerData,
  scores: Scores,
  exits: Int32Array,
  gate: number,
  threshold: number,
): HTMLElement {
  const confidences = scores.confidences[gate]!;
  const every = data.thumbnails?.every ?? 1;
  const [leave, stay]: [number[], number[]] = [[], []];
  for (let image = 0; image < scores.count; image += every) {
    if (exits[image]! < gate || Number.isNaN(confidences[image]!)) continue;
    (confidences[image]! >= threshold ? leave : stay).push(image);
  }
  leave.sort((a, b) => confidences[a]! - confidences[b]!);
  stay.sort((a, b) => confidences[b]! - confidences[a]!);
  const side = (caption: string, list: readonly number[]): HTMLElement => {
    const shown = list.slice(0, BESIDE).map((image) => thumbnail(data, scores, gate, image));
    return element('div', { className: 'side' }, element('span', { className: 'dim' }, caption), ...shown);
  };
  const name = element('span', { className: 'name' }, data.exits[gate]!);
  return element('div', { className: 'sides' }, name, side('just leave', leave), side('just stay', stay));
}

/** An image with the answer of a gate. */
function thumbnail(
  { classNames, thumbnails, step }: ExplorerData,
  scores: Scores,
  gate: number,
  image: number,
): HTMLElement {
  const [answer, label] = [scores.classes[gate]![image]!, scores.labels[image]!];
  const isRight = answer === label;
  const words = `image ${image * step}: ${classNames[label]}${isRight ? '' : `, answered as ${classNames[answer]}`}`;
  const title = `${words}; confidence ${scores.confidences[gate]![image]!.toPrecision(3)}`;
  const className = isRight ? 'thumb right' : 'thumb wrong';
  const picture = element('span', { className, title, role: 'img', ariaLabel: title });
  if (thumbnails === undefined) picture.textContent = String(image * step);
  else {
    const { size, columns, every } = thumbnails;
    const at = image / every;
    const [x, y] = [at % columns, Math.floor(at / columns)];
    picture.style.cssText = `width:${size}px;height:${size}px;background-position:-${x * size}px -${y * size}px`;
  }
  return element('span', { className: 'shown' }, picture, isRight ? '✓' : '✗');
}

/** An element of SVG with these attributes. */
function drawn(name: string, attributes: Readonly<Record<string, string | number>>, text = ''): Element {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [430, 260, 62, 40];

/** Moves the point of a chart. @param saved share of FLOPs @param accuracy 0 to 1 */
export type MovePoint = (saved: number, accuracy: number) => void;

/** Draws accuracies against shares of FLOPs saved, the most accurate first, down to 10 points below the original. */
export function openChart(place: HTMLElement, curve: readonly [number, number][], original: number): MovePoint {
  const shown = curve.filter(([, y]) => y >= original - 0.1);
  const left = Math.min(0, shown[0]?.[0] ?? 0);
  const [low, high] = [original - 0.1, Math.max(original, shown[0]?.[1] ?? 0) + 0.005];
  const px = (x: number): number => LEFT + ((x - left) / (1 - left)) * (WIDTH - LEFT - 12);
  const py = (y: number): number =>
    10 + ((high - Math.min(Math.max(y, low), high)) / (high - low)) * (HEIGHT - BOTTOM - 10);
  const name = 'Accuracy against FLOPs saved';
  const svg = drawn('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': name });
  const add = (...of: Parameters<typeof drawn>): void => svg.append(drawn(...of));
  for (let saved = 0; saved <= 1; saved += 0.25) {
    add('line', { class: 'grid', x1: px(saved), x2: px(saved), y1: 10, y2: HEIGHT - BOTTOM });
    add('text', { x: px(saved), y: HEIGHT - 22, 'text-anchor': 'middle' }, `${100 * saved}`);
  }
  for (let lost = 0; lost <= 10; lost += 2) {
    const y = py(original - lost / 100);
    add('line', { class: 'grid', x1: LEFT, x2: WIDTH - 12, y1: y, y2: y });
    add('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end' }, `${(100 * original - lost).toFixed(1)}`);
  }
  add('text', { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, 'text-anchor': 'middle' }, 'FLOPs saved (%)');
  const transform = `rotate(-90 12 ${HEIGHT / 2 - 10})`;
  add('text', { x: 12, y: HEIGHT / 2 - 10, 'text-anchor': 'middle', transform }, 'accuracy (%)');
  const path = shown.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join('');
  add('path', { class: 'frontier', d: path });
  add('path', { class: 'original', d: `M${px(0) - 5} ${py(original)}h10m-5 -5v10` });
  const point = drawn('circle', { class: 'here', r: 6 });
  svg.append(point);
  const legend = 'Line: the best thresholds on these images. Cross: the original. Circle: the thresholds above.';
  place.replaceChildren(svg, element('p', { className: 'dim' }, legend));
  return (saved, accuracy) => {
    point.setAttribute('cx', px(saved).toFixed(1));
    point.setAttribute('cy', py(accuracy).toFixed(1));
  };
}

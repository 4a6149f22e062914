const SVG = 'http://www.w3.org/2000/svg';
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [430, 260, 62, 40];

/** Moves the point of a chart. @param saved share of FLOPs @param accuracy 0 to 1 */
export type MovePoint = (saved: number, accuracy: number) => void;

/**
 * Draws accuracy against saved FLOPs, down to 10 points below the original.
 *
 * @param curve shares of FLOPs saved and accuracies, the most accurate first
 */
export function openChart(place: HTMLElement, curve: readonly [number, number][], original: number): MovePoint {
  const shown = curve.filter(([, y]) => y >= original - 0.1);
  const left = Math.min(0, shown[0]?.[0] ?? 0);
  const [low, high] = [original - 0.1, Math.max(original, shown[0]?.[1] ?? 0) + 0.005];
  const px = (x: number): number => LEFT + ((x - left) / (1 - left)) * (WIDTH - LEFT - 12);
  const py = (y: number): number =>
    10 + ((high - Math.min(Math.max(y, low), high)) / (high - low)) * (HEIGHT - BOTTOM - 10);
  const svg = document.createElementNS(SVG, 'svg');
  const add = (name: string, attributes: Readonly<Record<string, string | number>>, text = ''): Element => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    made.textContent = text;
    svg.append(made);
    return made;
  };
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', 'Accuracy against FLOPs saved');
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
  const point = add('circle', { class: 'here', r: 6 });
  const caption = document.createElement('p');
  caption.className = 'dim';
  caption.textContent = 'Line: the best thresholds on these images. Cross: the original. Circle: the thresholds above.';
  place.replaceChildren(svg, caption);
  return (saved, accuracy) => {
    point.setAttribute('cx', px(saved).toFixed(1));
    point.setAttribute('cy', py(accuracy).toFixed(1));
  };
}

/** Accuracy against the FLOPs saved, as an SVG that a point moves in. */
const SVG = 'http://www.w3.org/2000/svg';
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [430, 260, 62, 40];

export interface Chart {
  /** Moves the point. @param x share of FLOPs saved @param y accuracy, 0 to 1 */
  move(x: number, y: number): void;
}

function shape(name: string, attributes: Readonly<Record<string, string | number>>, text = ''): SVGElement {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

/**
 * Draws a frontier down to 10 points below the original's accuracy.
 *
 * @param curve shares of FLOPs saved and accuracies, the most accurate first
 */
export function openChart(place: HTMLElement, curve: readonly [number, number][], original: number): Chart {
  const shown = curve.filter(([, y]) => y >= original - 0.1);
  const [left, right] = [Math.min(0, shown[0]?.[0] ?? 0), 1];
  const [low, high] = [original - 0.1, Math.max(original, shown[0]?.[1] ?? 0) + 0.005];
  const px = (x: number): number => LEFT + ((x - left) / (right - left)) * (WIDTH - LEFT - 12);
  const py = (y: number): number =>
    10 + ((high - Math.min(Math.max(y, low), high)) / (high - low)) * (HEIGHT - BOTTOM - 10);
  const svg = shape('svg', {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: 'img',
    'aria-label': 'Accuracy against FLOPs saved',
  });
  for (let saved = 0; saved <= 1; saved += 0.25) {
    svg.append(shape('line', { class: 'grid', x1: px(saved), x2: px(saved), y1: 10, y2: HEIGHT - BOTTOM }));
    svg.append(shape('text', { x: px(saved), y: HEIGHT - 22, 'text-anchor': 'middle' }, `${100 * saved}`));
  }
  for (let lost = 0; lost <= 10; lost += 2) {
    const y = py(original - lost / 100);
    svg.append(shape('line', { class: 'grid', x1: LEFT, x2: WIDTH - 12, y1: y, y2: y }));
    svg.append(shape('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end' }, `${(100 * original - lost).toFixed(1)}`));
  }
  svg.append(shape('text', { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, 'text-anchor': 'middle' }, 'FLOPs saved (%)'));
  svg.append(
    shape(
      'text',
      { x: 12, y: HEIGHT / 2 - 10, 'text-anchor': 'middle', transform: `rotate(-90 12 ${HEIGHT / 2 - 10})` },
      'right (%)',
    ),
  );
  const path = shown.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join('');
  svg.append(shape('path', { class: 'frontier', d: path }));
  svg.append(shape('path', { class: 'original', d: `M${px(0) - 5} ${py(original)}h10m-5 -5v10` }));
  const point = shape('circle', { class: 'here', r: 6 });
  svg.append(point);
  const caption = document.createElement('p');
  caption.className = 'dim';
  caption.textContent = 'Line: the best thresholds on these images. Cross: the original. Circle: the thresholds above.';
  place.replaceChildren(svg, caption);
  return {
    move(x, y) {
      point.setAttribute('cx', px(x).toFixed(1));
      point.setAttribute('cy', py(y).toFixed(1));
    },
  };
}

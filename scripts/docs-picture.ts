import { renderSvg } from '../src/report/figures.js';
import { rowsOf } from './docs-numbers.js';

/** Systems of one kind: their rows, and what the picture calls them. */
const series = [
  { file: 'frontier/laptop-*/frontier.csv', is: { kind: 'static' }, kind: 'a network alone' },
  { file: 'table1/laptop-*/table.csv', is: { search: 'joint' }, kind: 'd-gates, joint search' },
  { file: 'resnet56/laptop-*/table.csv', is: { search: 'joint' }, kind: 'd-gates, joint search' },
  { file: 'cascade/laptop-*/table.csv', is: { search: 'joint' }, kind: 'ResNet-20, then ResNet-56' },
] as const;

/** docs/images/systems.svg: accuracy against FLOPs on CIFAR-10 of everything in results/reference; the same files, the same bytes. */
export async function picture(): Promise<string> {
  const values = series.flatMap(({ file, is, kind }) =>
    rowsOf(`reference/${file}`)
      .filter((row) => Object.entries(is).every(([column, value]) => row[column] === value))
      .map((row) => ({
        kind,
        gflops: Number(row['flops_per_image']) / 1e9,
        accuracy: 100 * Number(row['accuracy_fraction']),
        name:
          kind === 'a network alone'
            ? row['system']!.replace(/^\d+: |-cifar10$/g, '')
                .replace(/-(?:width0\.25|growth16).*/, ', narrow')
                .replace(/-(?:width|growth).*/, ', small')
            : '',
      })),
  );
  const x = { field: 'gflops', type: 'quantitative', title: 'FLOPs per image (G)' } as const;
  const y = { field: 'accuracy', type: 'quantitative', title: 'Accuracy (%)', scale: { zero: false } } as const;
  return renderSvg({
    name: 'systems',
    title: 'The same answers for less: CIFAR-10, 10,000 test images',
    caption: 'Accuracy against FLOPs of networks alone, of networks with d-gates and of a cascade.',
    spec: {
      data: { values },
      width: 460,
      height: 260,
      layer: [
        {
          mark: { type: 'point', filled: true, size: 60 },
          encoding: {
            x,
            y,
            color: { field: 'kind', type: 'nominal', title: null, legend: { orient: 'bottom' } },
            shape: { field: 'kind', type: 'nominal', title: null },
          },
        },
        { mark: { type: 'text', dy: -9, fontSize: 10 }, encoding: { x, y, text: { field: 'name' } } },
      ],
    },
  });
}

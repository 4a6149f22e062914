import type { Config } from 'vega-lite';

/**
 * Colours of Okabe and Ito (2008), safe for colour-blind readers, without the yellow, which is too light on white.
 */
export const colours = {
  blue: '#0072B2',
  vermilion: '#D55E00',
  green: '#009E73',
  purple: '#CC79A7',
  orange: '#E69F00',
  sky: '#56B4E9',
  black: '#000000',
} as const;

export const fontFamily = 'Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif';

const ink = '#222222';
const rule = '#767676';
const grid = '#e4e4e4';

/**
 * The theme of all figures. Lines that differ in colour should differ in `strokeDash` too, and points in `shape`, so
 * that they are distinct in grey print. Continuous colour is cividis, designed for colour-blind readers.
 */
export const theme: Config = {
  aria: false, // title and caption describe the figure; labels on thousands of marks would not help
  background: 'white',
  padding: 12,
  font: fontFamily,
  view: { stroke: null, continuousWidth: 520, continuousHeight: 320, discreteWidth: { step: 32 } },
  title: { anchor: 'start', fontSize: 15, fontWeight: 'bold', color: ink, offset: 14, subtitleFontSize: 12 },
  axis: {
    labelFontSize: 12,
    titleFontSize: 13,
    titleFontWeight: 'normal',
    titlePadding: 10,
    labelColor: ink,
    titleColor: ink,
    domainColor: rule,
    tickColor: rule,
    gridColor: grid,
    labelLimit: 240,
  },
  axisXQuantitative: { tickCount: 8 },
  axisYQuantitative: { tickCount: 8 },
  legend: {
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'bold',
    labelColor: ink,
    titleColor: ink,
    labelLimit: 320,
    titleLimit: 320,
    symbolSize: 90,
    symbolOpacity: 1,
    symbolStrokeWidth: 2,
  },
  header: { labelFontSize: 13, titleFontSize: 13, labelColor: ink, titleColor: ink, titleFontWeight: 'normal' },
  line: { strokeWidth: 2 },
  point: { size: 60, strokeWidth: 2, filled: false },
  bar: { fill: colours.blue },
  rule: { color: rule },
  text: { fontSize: 12, color: ink },
  range: {
    category: Object.values(colours),
    ramp: { scheme: 'cividis' },
    heatmap: { scheme: 'cividis' },
    symbol: ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down', 'stroke'],
  },
};

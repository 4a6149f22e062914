import { colours, fontFamily } from '../theme.js';

/** Readable on a laptop and in print; verdicts differ in sign and words, not only in colour. */
export const style = `
:root { color-scheme: light; --ink: #1c1c1c; --dim: #595959; --rule: #d4d4d4; --shade: #f5f6f8; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 2.5rem 4rem; max-width: 1240px; color: var(--ink); background: white;
  font: 15px/1.5 ${fontFamily}; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .35rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .7rem; padding-top: .5rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
p { margin: .4rem 0; max-width: 85ch; }
.dim, figcaption { color: var(--dim); }
.summary { margin: .9rem 0 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; }
nav { margin-top: .8rem; font-size: .9rem; }
nav a { color: ${colours.blue}; margin-right: 1.1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .65rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; vertical-align: bottom; border-bottom: 2px solid #8a8a8a; }
th:first-child, td:first-child, .text th, .text td { text-align: left; }
td:first-child, .results td, .results th { white-space: nowrap; }
.text td { white-space: normal; }
tr.paper td { color: var(--dim); background: var(--shade); font-style: italic; }
.claims { width: 100%; }
.claims td:first-child { width: 10.5rem; }
.badge { display: inline-block; white-space: nowrap; padding: .05rem .5rem; border: 1.5px solid; border-radius: 1rem;
  font-size: .92em; font-weight: 600; }
.holds { color: #00543c; border-color: ${colours.green}; background: #e6f5f0; }
.does-not-hold { color: #8a3d00; border-color: ${colours.vermilion}; background: #fdeee4; }
.undecided { color: #00446a; border-color: ${colours.blue}; background: #e8f2f9; border-style: dashed; }
.cannot-be-checked-here { color: var(--dim); border-color: #8a8a8a; background: var(--shade); border-style: dotted; }
.why { color: var(--dim); font-size: .92em; }
.trace { font-size: .92em; min-width: 8.5em; } .trace code { overflow-wrap: normal; white-space: nowrap; }
.many { font-size: .76rem; } .many th, .many td { padding: .3rem .4rem; }
.word { text-align: left; white-space: nowrap; }
figure { margin: 1.2rem 0 1.8rem; }
figure svg, figure img { display: block; max-width: 100%; height: auto; }
figcaption { margin-top: .4rem; max-width: 100ch; font-size: .88rem; }
code { font: .86em/1.4 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
pre { padding: .8rem 1rem; overflow-x: auto; background: var(--shade); border: 1px solid var(--rule); border-radius: 4px; }
pre code { overflow-wrap: normal; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .25rem 1.4rem; margin: 0; }
.facts dt { font-weight: 600; } .facts dd { margin: 0; overflow-wrap: anywhere; }
@media print {
  @page { size: A4; margin: 14mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  h2 { margin-top: 1.4rem; } h2, h3 { break-after: avoid; }
  table { font-size: 7.4pt; } .many { font-size: 6pt; } th, td { padding: .2rem .38rem; }
  tr, figure, .facts > * { break-inside: avoid; } thead { display: table-header-group; }
  figure svg, figure img { max-height: 235mm; width: auto; }
  .claims td:first-child { width: auto; }
  .wide, pre { overflow: visible; } pre, pre code { white-space: pre-wrap; overflow-wrap: anywhere; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;

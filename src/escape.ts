/**
 * Text of others (names of classes, tensors, files, folders, experiments; messages of programs) as it may stand in what
 * dgate writes: one function for each kind of output.
 */

/**
 * What a terminal, an editor or an XML parser takes for something else than a letter: control characters (C0, C1, DEL),
 * line and paragraph separators, marks that turn the direction of writing, halves of pairs, and what is no character.
 */
const odd = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ufffe\uffff]/gu;

const escapeOf = (found: string): string =>
  found === '\n' ? '\\n' : `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** On one line of a terminal, a log or a table: what is not a letter is written as JavaScript would, `\\u001b`. */
export function visible(text: string): string {
  return text.replaceAll(odd, escapeOf);
}

/** As {@link visible}, but for text that has lines of its own. */
export function visibleLines(text: string): string {
  return text.replaceAll(odd, (found) => (found === '\n' ? found : escapeOf(found)));
}

/** A document of dgate's own as JSON, indented; a terminal can show it whatever names stand in it. */
export function jsonText(value: unknown): string {
  return visibleLines(JSON.stringify(value, null, 2));
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Between tags or in an attribute of HTML, SVG and XML. */
export function markupText(text: string): string {
  return visibleLines(text).replaceAll(/[&<>"']/g, (found) => entities[found]!);
}

/** A word of a bash command, always on one line. */
export function shellWord(text: string): string {
  if (/^[\w./:,=@+-]+$/.test(text)) return text;
  if (text.search(odd) < 0) return `'${text.replaceAll("'", "'\\''")}'`;
  const bytes = (found: string): string =>
    [...Buffer.from(found)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  return `$'${text.replaceAll(/[\\']/g, '\\$&').replaceAll(odd, bytes)}'`;
}

/** What a spreadsheet takes for a formula, unless it is a number. */
const formula = /^[=+\-@\uff0b\uff0d\uff1d\uff20]/;
const plainNumber = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$|^[+-]?Infinity$/i;

/** A cell of a CSV file: numbers as they are; text that would be a formula has an apostrophe before it. */
export function csvCell<Cell>(cell: Cell): Cell | string {
  if (typeof cell !== 'string') return cell;
  const text = visible(cell);
  return formula.test(text.trimStart()) && !plainNumber.test(text) ? `'${text}` : text;
}

/** What begins something in Markdown; an underscore within a word does not. */
const markdownSigns = /[\\|<>*`[\]~&#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/g;

/** In a line or a table cell of Markdown. */
export function markdownText(text: string): string {
  return visible(text.replaceAll(/\s+/g, ' ')).replaceAll(markdownSigns, '\\$&');
}

/** Code in a line or a table cell of Markdown: a fence longer than any in it. */
export function markdownCode(text: string): string {
  const shown = visible(text.replaceAll(/\s+/g, ' ')).replaceAll('|', '\\|');
  const longest = Math.max(0, ...(shown.match(/`+/g) ?? []).map((run) => run.length));
  const fence = '`'.repeat(longest + 1);
  const space = /^`|`$/.test(shown) ? ' ' : '';
  return `${fence}${space}${shown}${space}${fence}`;
}

/** A link's address in Markdown. */
export function markdownAddress(path: string): string {
  return encodeURI(visible(path)).replaceAll(/[()#?|'*_~!&]/g, (found) => `%${found.charCodeAt(0).toString(16)}`);
}

const latexWords: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '<': '\\textless{}',
  '>': '\\textgreater{}',
  '±': '$\\pm$',
};

/** In running text of LaTeX. */
export function latexText(text: string): string {
  return visible(text).replaceAll(/[\\~^<>±&%$#_{}]/g, (found) => latexWords[found] ?? `\\${found}`);
}

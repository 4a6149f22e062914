// Text of any origin (names of classes, tensors, files; messages of programs), escaped for each kind of output.

/**
 * Characters that affect a terminal, an editor or an XML parser: controls (C0, C1, DEL), line and paragraph separators,
 * direction marks, surrogates and noncharacters.
 */
const odd = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ufffe\uffff]/gu;

const escapeOf = (found: string): string =>
  found === '\n' ? '\\n' : `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** For one line of a terminal, a log or a table, with JavaScript's escapes: `\\u001b`. */
export function visible(text: string): string {
  return text.replaceAll(odd, escapeOf);
}

/** As {@link visible}, for text of several lines. */
export function visibleLines(text: string): string {
  return text.replaceAll(odd, (found) => (found === '\n' ? found : escapeOf(found)));
}

/** Indented JSON that is safe on a terminal. */
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

/** For text or an attribute of HTML, SVG and XML. */
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

/** What a spreadsheet reads as a formula, unless it is a number. */
const formula = /^[=+\-@\uff0b\uff0d\uff1d\uff20]/;
const plainNumber = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$|^[+-]?Infinity$/i;

/** A cell of a CSV file: numbers unchanged, formulas with an apostrophe before them. */
export function csvCell<Cell>(cell: Cell): Cell | string {
  if (typeof cell !== 'string') return cell;
  const text = visible(cell);
  return formula.test(text.trimStart()) && !plainNumber.test(text) ? `'${text}` : text;
}

/** Markup of Markdown; an underscore within a word is none. */
const markdownSigns = /[\\|<>*`[\]~&#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/g;

/** For a line or a table cell of Markdown. */
export function markdownText(text: string): string {
  return visible(text.replaceAll(/\s+/g, ' ')).replaceAll(markdownSigns, '\\$&');
}

/** Code in a line or a table cell of Markdown, with a fence longer than any in it. */
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
  '|': '\\textbar{}',
};

/** For running text of LaTeX. */
export function latexText(text: string): string {
  return visible(text).replaceAll(/[\\~^<>±|&%$#_{}]/g, (found) => latexWords[found] ?? `\\${found}`);
}

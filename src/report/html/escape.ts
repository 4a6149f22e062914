import { markupText } from '../../escape.js';

/** Markup that may stand in a page as it is. */
export interface Html {
  readonly html: string;
}

type Value = string | number | Html | readonly Html[];

/** A template whose values are escaped, but for markup made by this function or declared by {@link markup}. */
export function html(pieces: TemplateStringsArray, ...values: readonly Value[]): Html {
  return { html: pieces.map((piece, i) => piece + (i < values.length ? text(values[i]!) : '')).join('') };
}

/** Declares text as markup: that of our own figures and styles. */
export function markup(trusted: string): Html {
  return { html: trusted };
}

function text(value: Value): string {
  if (typeof value === 'string' || typeof value === 'number') return markupText(String(value));
  return 'html' in value ? value.html : value.map((part) => part.html).join('');
}

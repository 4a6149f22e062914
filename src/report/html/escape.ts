import { markupText } from '../../escape.js';

/** Markup that needs no escaping. */
export interface Html {
  readonly html: string;
}

type Value = string | number | Html | readonly Html[];

/** A template whose values are escaped, except markup from this function or from {@link markup}. */
export function html(pieces: TemplateStringsArray, ...values: readonly Value[]): Html {
  return { html: pieces.map((piece, i) => piece + (i < values.length ? text(values[i]!) : '')).join('') };
}

/** Declares trusted text as markup: figures and styles of this project. */
export function markup(trusted: string): Html {
  return { html: trusted };
}

function text(value: Value): string {
  if (typeof value === 'string' || typeof value === 'number') return markupText(String(value));
  return 'html' in value ? value.html : value.map((part) => part.html).join('');
}

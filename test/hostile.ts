import fc from 'fast-check';

/** Pieces that mean something to a terminal, a shell, Slurm, a spreadsheet, HTML, XML, Markdown, LaTeX or JSON. */
const pieces = [
  ...['\u001b[2J', '\u001b]0;x\u0007', '\u009b31m', '\u0000', '\u0008', '\r', '\n', '\t', '\u007f', '\u0085'],
  ...['\u202e', '\u2066', '\u200f', '\u061c', '\u2028', '\ufffe', '\uffff', '\ud800', '\udc00', '\ufff9'],
  ...[
    '"',
    "'",
    '`',
    '$(touch pwned)',
    '$HOME',
    '\\',
    ';',
    '&&',
    '|',
    '>',
    '<',
    '#',
    '!',
    '*',
    '~',
    '%',
    ' ',
    '\n#SBATCH --x',
  ],
  ...[
    '=cmd()',
    '+1',
    '-1',
    '@x',
    '=',
    '<script>',
    '</title>',
    ']]>',
    '<!--',
    '&amp;',
    '&',
    '](x)',
    '[',
    '_',
    '^',
    '{',
    '}',
  ],
  ...['../', '__proto__', 'name', 'é', '日本', '👩‍👧', '0', '-0.24'],
];

/** Names as nobody good gives them. */
export const hostileText: fc.Arbitrary<string> = fc
  .array(fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: 'binary', maxLength: 3 })), { maxLength: 6 })
  .map((parts) => parts.join(''));

/** Nothing in it is a command to a terminal but line breaks. */
export const noCommands =
  /^(?:[^\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ufffe\uffff]|\n)*$/u;
export const oneLine = /^[^\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ufffe\uffff]*$/u;

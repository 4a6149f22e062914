import { isCounter, type Pairing } from './names.js';

/** Names of parts that are no layers: losses, metrics, counters, normalisation. */
const nonLayers =
  /(?:^|\.)(?:\w*(?:criterion|loss|metrics?|accuracy|acc|auroc|f1|confmat|normali[sz]e\w*|normali[sz]ation)\w*)\.|(?:^|\.)(?:n_averaged|mean|std)$/i;

/** The other tensors. Those below the prefix are unexpected, unless they are no layers. */
export function restOf(
  { dictionary, prefix, names }: Pairing,
  others: readonly Pairing[],
  { ignore }: { readonly ignore?: string | undefined },
): { readonly unexpected: string[]; readonly leftOut: string[] } {
  const used = new Set(names.values());
  const rest = [...dictionary.shapes.keys()].filter((name) => !used.has(name) && !isCounter(name));
  const isIgnored = ignore === undefined ? () => false : matcherOf(ignore);
  const isUnexpected = (name: string): boolean =>
    name.startsWith(prefix) &&
    !isIgnored(name) &&
    !nonLayers.test(name.slice(prefix.length)) &&
    !others.some((other) => other.prefix.length > prefix.length && name.startsWith(other.prefix));
  return { unexpected: rest.filter(isUnexpected), leftOut: rest.filter((name) => !isUnexpected(name)) };
}

/** Matches names, or their ends after a dot. @param pattern with `*` for any letters; several separated by commas */
function matcherOf(pattern: string): (name: string) => boolean {
  const parts = pattern.split(',').map((part) =>
    part
      .trim()
      .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*'),
  );
  const matcher = new RegExp(`(?:^|\\.)(?:${parts.join('|')})$`);
  return (name) => matcher.test(name);
}

export {};

declare module 'yargs' {
  interface Argv<T> {
    /** Its own type knows no plurals. */
    updateStrings(
      strings: Readonly<Record<string, string | { readonly one: string; readonly other: string }>>,
    ): Argv<T>;
  }
}

/** What is used of the package `hyparquet`. */
declare module 'hyparquet' {
  export function parquetReadObjects(options: {
    readonly file: ArrayBuffer;
    readonly columns?: readonly string[];
    readonly rowStart?: number;
    readonly rowEnd?: number;
    /** Whether bytes without a type are texts. */
    readonly utf8?: boolean;
  }): Promise<Record<string, unknown>[]>;
  export function parquetMetadata(file: ArrayBuffer): {
    readonly num_rows: bigint;
    readonly schema: readonly { readonly name: string }[];
  };
}

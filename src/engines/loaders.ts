/** Node options that let this process load TypeScript, for a child process; others (`-e`, `--inspect`) are not passed on. */
export function loaders(): string[] {
  return process.execArgv.flatMap((argument, at) => {
    if (!/^(--import|--require|-r|--loader)(=|$)/.test(argument)) return [];
    return argument.includes('=') ? [argument] : [argument, process.execArgv[at + 1]!];
  });
}

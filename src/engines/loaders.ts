/** What makes this process read TypeScript, if it does; nothing else of its arguments is for another program (`-e`, `--inspect`). */
export function loaders(): string[] {
  return process.execArgv.flatMap((argument, at) => {
    if (!/^(--import|--require|-r|--loader)(=|$)/.test(argument)) return [];
    return argument.includes('=') ? [argument] : [argument, process.execArgv[at + 1]!];
  });
}

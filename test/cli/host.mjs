// Runs commands one after the other in one process, as `warm.ts` sends them; the module of `main` is its argument.
const { main } = await import(process.argv[2]);

const said = { stdout: '', stderr: '' };
for (const name of ['stdout', 'stderr']) {
  process[name].setMaxListeners(0); // each command adds its own
  process[name].write = (text, ...rest) => {
    said[name] += text;
    rest.find((each) => typeof each === 'function')?.();
    return true;
  };
}
process.setMaxListeners(0);

process.on('message', async ({ args, cwd }) => {
  process.chdir(cwd);
  Object.assign(said, { stdout: '', stderr: '' });
  process.exitCode = undefined;
  const status = (await main(args)) || (process.exitCode ?? 0);
  process.send({ ...said, status });
});

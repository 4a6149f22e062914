import { fail } from './fail.js';

/** @returns the minor version of glibc 2, which Python wheels are built for. @throws InputError where there is none */
export function minorOfGlibc(): number {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const glibc = report.header?.glibcVersionRuntime;
  if (glibc === undefined) fail('Python wheels for Linux need glibc (not Alpine); use a Debian- or Ubuntu-based image');
  return Number(glibc.split('.')[1]);
}

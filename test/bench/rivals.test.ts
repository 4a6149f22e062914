import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { cheapest, tablesOf } from '../../bench/rivals/table.js';
import { presentSets } from '../../bench/runner/conditions.js';

describe('bench/rivals', () => {
  const line = (network: string, processor: string, system: string, accuracy: string, ratio: string) => ({
    ...{ network, processor, system, accuracy, accuracy_low: '', accuracy_high: '' },
    ...{
      ratio_1: ratio,
      ratio_1_q25: ratio,
      ratio_1_q75: ratio,
      ratio_32: ratio,
      ratio_32_q25: ratio,
      ratio_32_q75: ratio,
    },
  });
  const lines = [
    line('a', 'old', 'original', '0.9', '1'),
    line('a', 'old', 'int8', '0.898', '0.9'),
    line('a', 'new', 'original', '0.9', '1'),
    line('b', 'new', 'original', '0.8', '1'),
    line('a', 'new', 'int8', '0.88', '0.2'),
    line('a', 'new', 'gated', '0.897', '0.7'),
  ];

  it('keeps a table for each network on each processor', () => {
    expect(tablesOf(lines).map((rows) => rows.map(({ system }) => system))).to.deep.equal([
      ['original', 'int8'],
      ['original', 'int8', 'gated'],
      ['original'],
    ]);
  });

  it('finds the cheapest system of each processor among those that lose no more than asked', () => {
    const found = cheapest(lines).map(({ network, processor, points, system_1 }) => [
      network,
      processor,
      points,
      system_1,
    ]);
    expect(found.slice(0, 6)).to.deep.equal([
      ['a', 'old', '0', 'original'],
      ['a', 'old', '0.005', 'int8'],
      ['a', 'old', '0.01', 'int8'],
      ['a', 'new', '0', 'original'],
      ['a', 'new', '0.005', 'gated'],
      ['a', 'new', '0.01', 'gated'],
    ]);
  });

  it('avx2.c leaves programs AVX2 and hides AVX-512 and VNNI, and the benchmarks say so', function () {
    const cpuinfo = spawnSync('cat', ['/proc/cpuinfo'], { encoding: 'utf8' }).stdout ?? '';
    const hasCompiler = spawnSync('cc', ['--version']).status === 0;
    // Needs an Intel processor that can make CPUID fault, and a C compiler.
    if (!/\bcpuid_fault\b/.test(cpuinfo) || !hasCompiler) this.skip();
    const folder = mkdtempSync(join(tmpdir(), 'dgate-avx2-'));
    try {
      const source = fileURLToPath(new URL('../../bench/avx2.c', import.meta.url));
      const library = join(folder, 'avx2.so');
      const asks = join(folder, 'asks.c');
      writeFileSync(
        asks,
        '#include <cpuid.h>\n#include <stdio.h>\nint main(void) { unsigned a, b, c, d; __get_cpuid_count(7, 0, &a, &b, &c, &d);' +
          ' printf("%u %u %u", b >> 5 & 1, b >> 16 & 1, c >> 11 & 1); }\n',
      );
      for (const args of [
        ['-shared', '-fPIC', '-o', library, source, '-ldl'],
        ['-o', join(folder, 'asks'), asks],
      ]) {
        expect(spawnSync('cc', args, { encoding: 'utf8' }).stderr).to.equal('');
      }
      const env = { ...process.env, LD_PRELOAD: library };
      expect(spawnSync(join(folder, 'asks'), { env, encoding: 'utf8' }).stdout).to.equal('1 0 0');
      const script = "process.stdout.write(process.env.DGATE_BENCH_HIDDEN ?? '')";
      expect(spawnSync(process.execPath, ['-e', script], { env, encoding: 'utf8' }).stdout).to.match(/AVX-512/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('names AVX2 alone where the others are hidden', () => {
    const before = process.env['DGATE_BENCH_HIDDEN'];
    try {
      process.env['DGATE_BENCH_HIDDEN'] = 'AVX-512';
      expect(presentSets()).to.deep.equal(['AVX2']);
    } finally {
      if (before === undefined) delete process.env['DGATE_BENCH_HIDDEN'];
      else process.env['DGATE_BENCH_HIDDEN'] = before;
    }
    expect(readFileSync(fileURLToPath(new URL('../../bench/avx2.c', import.meta.url)), 'utf8')).to.include(
      'DGATE_BENCH_HIDDEN',
    );
  });
});

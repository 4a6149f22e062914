import { expect } from 'chai';
import { diagnose } from '../../src/engines/doctor/diagnose.js';
import { EngineUnavailable } from '../../src/engines/engine.js';

describe('diagnose', () => {
  it('measures an engine that works', async () => {
    const diagnosis = await diagnose('ort-cpu');
    if (!diagnosis.works) throw new Error(diagnosis.reason);
    expect(diagnosis.id).to.equal('ort-cpu');
    expect(diagnosis.gflopsPerSecond).to.be.greaterThan(0);
    // 82 million FLOPs an image (He et al.'s ResNet-20)
    expect(diagnosis.gflopsPerSecond / diagnosis.imagesPerSecond).to.be.closeTo(0.082, 0.001);
    expect(diagnosis.device).not.to.equal('');
  });

  it('says why an engine does not work, and what would change it', async () => {
    const diagnosis = await diagnose('ort-cuda');
    if (diagnosis.works) return; // a machine with CUDA
    expect(diagnosis.reason).to.match(/CUDA/);
    expect(diagnosis.command).not.to.equal('');
  });

  it('reports an engine that does not answer in time', async () => {
    const diagnosis = await diagnose('tfjs-cpu', 0.05);
    expect(diagnosis).to.deep.include({ works: false, reason: 'no answer within 0.05 s while loading' });
  });
});

describe('EngineUnavailable', () => {
  it('is one line: engine, reason, command', () => {
    expect(new EngineUnavailable('ort-cuda', 'no CUDA', 'npm ci').problems).to.deep.equal([
      'engine ort-cuda: no CUDA; run: npm ci',
    ]);
  });
});

import util from 'node:util';
import { expect } from 'chai';
import { restoreRemovedUtil } from '../../../src/engines/tfjs/backend.js';

describe('functions that left util', () => {
  it('are there again for tfjs-node, and what Node has stays', () => {
    const later = { isArray: 'its own' } as { isArray: unknown; isNullOrUndefined?: (value: unknown) => boolean };
    restoreRemovedUtil(later);
    expect(later.isArray).to.equal('its own');
    expect([null, undefined, 0, ''].map((value) => later.isNullOrUndefined?.(value))).to.deep.equal([
      true,
      true,
      false,
      false,
    ]);
    restoreRemovedUtil();
    expect((util as unknown as typeof later).isNullOrUndefined?.(null)).to.equal(true);
  });
});

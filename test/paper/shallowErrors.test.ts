import { expect } from 'chai';
import { classIndices, groupClasses } from '../../src/paper/analysis.js';
import { confusionOf, groupErrors } from '../../src/paper/shallowErrors.js';
import { thrown } from './thrown.js';

const classes = ['cat', 'dog', 'ship', 'truck', 'van'];
const grouping = groupClasses(classes, { animal: ['cat', 'dog'], vehicle: ['ship', 'truck', 'van'] });

describe('errors within the superordinate category (Figure 1)', () => {
  // 10 cats: 5 right, 4 dog, 1 ship; 10 ships: 4 right, 2 truck, 1 van, 3 cat; nothing else.
  const labels = Int32Array.from([...Array(10).fill(0), ...Array(10).fill(2)]);
  const predicted = Int32Array.from([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 4, 0, 0, 0]);
  const confusion = confusionOf(labels, predicted, 5);

  it('are counted by true class', () => {
    expect(confusion[0]).to.deep.equal([5, 4, 1, 0, 0]);
    expect(confusion[2]).to.deep.equal([3, 0, 4, 2, 1]);
    expect(confusion[1]).to.deep.equal([0, 0, 0, 0, 0]);
  });

  it('of one class: share, and shares expected by chance', () => {
    const cat = groupErrors(confusion, grouping, [0]);
    expect(cat).to.include({ images: 10, errors: 5, inGroup: 4, share: 0.8 });
    // 1 sibling of 4 other classes; given to all images: cat 8, dog 4, ship 5, truck 2, van 1.
    expect(cat.uniformChance).to.equal(0.25);
    expect(cat.marginalChance).to.be.closeTo(4 / 12, 1e-12);
    const ship = groupErrors(confusion, grouping, [2]);
    expect(ship).to.include({ errors: 6, inGroup: 3, share: 0.5, uniformChance: 0.5 });
    expect(ship.marginalChance).to.be.closeTo(3 / 15, 1e-12);
  });

  it('of several classes: chance is weighted by their errors', () => {
    const all = groupErrors(confusion, grouping, [0, 1, 2, 3, 4]);
    expect(all).to.include({ images: 20, errors: 11, inGroup: 7 });
    expect(all.uniformChance).to.be.closeTo((5 * 0.25 + 6 * 0.5) / 11, 1e-12);
    expect(all.marginalChance).to.be.closeTo((5 * (4 / 12) + 6 * (3 / 15)) / 11, 1e-12);
    expect(all.interval.low).to.be.below(7 / 11);
  });

  it('none: no share, the widest interval', () => {
    const none = groupErrors(confusion, grouping, [1]);
    expect(none).to.include({ errors: 0, share: 0 });
    expect(none.interval).to.deep.equal({ low: 0, high: 1 });
  });
});

describe('groups of classes', () => {
  it('list every class that is unknown, in none or in two', () => {
    const message = thrown(() => groupClasses(['cat', 'dog', 'ship'], { a: ['cat', 'dog'], b: ['dog', 'cow'] }));
    expect(message).to.contain('class "dog" is in a and b');
    expect(message).to.contain('class "ship" is in no group');
    expect(message).to.contain('analysis.groups.b: "cow" is not a class; valid: cat, dog, ship');
  });

  it('find classes by name', () => {
    expect(classIndices(classes, ['truck', 'cat'], 'analysis.classes')).to.deep.equal([3, 0]);
    expect(thrown(() => classIndices(classes, ['bus'], 'analysis.classes'))).to.contain('analysis.classes: "bus"');
  });
});

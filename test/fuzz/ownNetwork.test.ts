import { readers } from './readers/index.js';
import { testReaders } from './suite.js';

// In a process of its own (scripts/tests.mjs): an input takes nearly a second, and more in a process that has done much.
describe('damaged and hostile networks', () => {
  testReaders(readers.filter(({ name }) => name === 'ONNX, own network'));
});

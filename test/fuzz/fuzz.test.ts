import { readers } from './readers/index.js';
import { testReaders } from './suite.js';

describe('damaged and hostile files', () => {
  testReaders(readers.filter(({ name }) => name !== 'ONNX, own network'));
});

import { setTimeout as delay } from 'node:timers/promises';
import { datasets } from '../../src/data/registry.js';
import { generatedDataset } from '../run/generatedDataset.js';

// Loaded before the command line: it then finds a few generated images where CIFAR-10 would be.
const wait = Number(process.env['TEST_BATCH_MS'] ?? 0);
const dataset = generatedDataset({ train: 40, test: 20, onBatch: () => delay(wait) });
(datasets as (typeof dataset)[]).splice(0, datasets.length, dataset);

export * from './experiment/index.js';

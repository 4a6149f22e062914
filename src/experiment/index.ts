export { defineExperiment, type ExperimentDefinition, type Overrides, type PresetName } from './definition.js';
export { imageFolder, onnxNetwork } from './own-network.js';

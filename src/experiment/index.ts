export { defineExperiment, type ExperimentDefinition, type Overrides, type PresetName } from './definition.js';

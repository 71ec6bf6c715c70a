export { createFakeClock, type FakeClock } from './fake-clock.js';
export { createFakeProcess, type FakeProcess } from './fake-process.js';
export {
  type MemoryAnswer,
  type MemoryNotifier,
  type MemoryNotifierOptions,
  memoryNotifier,
} from './memory-notifier.js';
export { type ConformanceCase, type NotifierHarness, notifierConformance } from './notifier-conformance.js';
export { type NotifierSaboteur, notifierSaboteurs } from './notifier-saboteurs.js';
export { sampleEnvelope } from './sample-envelopes.js';
export { type SimulationOptions, simulateShutdown } from './simulate-shutdown.js';
export { type StoreHarness, storeConformance } from './store-conformance.js';
export { type StoreSaboteur, storeSaboteurs } from './store-saboteurs.js';
export { carryOut, type StoreStep, type StoreWill } from './store-tenant.js';

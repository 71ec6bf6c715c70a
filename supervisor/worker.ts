import { beginWorker } from './worker/begin.js';

// Loaded into every worker before its program.
beginWorker();

export type { Answer, AnswerFunction, AnswerOutcome } from './answer.js';
export type { BacklogEnding } from './backlog.js';
export type { DrainCounts } from './counts.js';
export { type DrainedServer, drainServer } from './drain-server.js';
export { type FastifyApplication, type FastifyShutdown, fastifyShutdown } from './fastify.js';
export { DRAIN_DEFAULTS, type DrainOptions } from './options.js';
export { livenessProbe, type ProbeListener, readinessProbe } from './probes.js';
export type { OpenRequest } from './tracked-request.js';
export type { UpgradeContext, UpgradeFarewell } from './upgrades.js';

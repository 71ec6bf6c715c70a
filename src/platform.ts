/** A place that runs services, and how long it waits from its notice to SIGKILL. */
export interface Platform {
  readonly name: PlatformName;
  /** From the notice to the kill, in milliseconds. */
  readonly graceMs: number;
  /** How long to keep serving after readiness is off, for a platform that takes an instance out of its balancer meanwhile. */
  readonly readinessDelayMs: number;
}

/** The platforms this package knows. `unknown` has the shortest grace period that is common. */
export type PlatformName =
  | 'pm2'
  | 'supervisord'
  | 'lambda'
  | 'cloudRun'
  | 'containerApps'
  | 'ecs'
  | 'fly'
  | 'heroku'
  | 'render'
  | 'kubernetes'
  | 'docker'
  | 'systemd'
  | 'apache'
  | 'unknown';

type Environment = Readonly<Record<string, string | undefined>>;

interface Rule extends Platform {
  recognised(env: Environment, fileExists: (path: string) => boolean): boolean;
}

const byVariable = (name: PlatformName, graceMs: number, ...variables: string[]): Rule => ({
  name,
  graceMs,
  readinessDelayMs: 0,
  recognised: (env) => variables.some((variable) => env[variable] !== undefined),
});

// The innermost manager first: it is the one that kills. systemd last, since everything below it inherits its variables.
const RULES: readonly Rule[] = [
  byVariable('pm2', 1600, 'pm_id'),
  byVariable('supervisord', 10_000, 'SUPERVISOR_ENABLED'),
  byVariable('lambda', 500, 'AWS_LAMBDA_FUNCTION_NAME'),
  byVariable('cloudRun', 10_000, 'K_SERVICE', 'CLOUD_RUN_JOB', 'CLOUD_RUN_WORKER_POOL'),
  byVariable('containerApps', 30_000, 'CONTAINER_APP_NAME'),
  byVariable('ecs', 30_000, 'ECS_CONTAINER_METADATA_URI_V4'),
  byVariable('fly', 5000, 'FLY_APP_NAME'),
  byVariable('heroku', 30_000, 'DYNO'),
  byVariable('render', 30_000, 'RENDER'),
  { ...byVariable('kubernetes', 30_000, 'KUBERNETES_SERVICE_HOST'), readinessDelayMs: 5000 },
  {
    name: 'docker',
    graceMs: 10_000,
    readinessDelayMs: 0,
    recognised: (_env, fileExists) => fileExists('/.dockerenv'),
  },
  byVariable('systemd', 90_000, 'NOTIFY_SOCKET', 'INVOCATION_ID'),
  { name: 'apache', graceMs: 3000, readinessDelayMs: 0, recognised: () => false },
  { name: 'unknown', graceMs: 10_000, readinessDelayMs: 0, recognised: () => true },
];

/** All known platforms by name. `apache` cannot be recognised and must be named. */
export const PLATFORMS = Object.freeze(
  Object.fromEntries(
    RULES.map(({ name, graceMs, readinessDelayMs }) => [name, { name, graceMs, readinessDelayMs }]),
  ),
) as Readonly<Record<PlatformName, Platform>>;

/** Tells by environment variables and files where this process runs. */
export function detectPlatform(
  env: Environment = process.env,
  fileExists: (path: string) => boolean = (path) => process.getBuiltinModule('node:fs').existsSync(path),
): Platform {
  const rule = RULES.find((candidate) => candidate.recognised(env, fileExists)) as Rule;
  return PLATFORMS[rule.name];
}

/** Of every grace period so much at least is left for the exit. */
export const LEAST_MARGIN_MS = 250;

/** The part of a grace period that may be planned with: 10 %, at least 250 ms, stays as a margin. */
export function budgetOf(graceMs: number): number {
  return Math.max(1, Math.floor(graceMs - Math.max(graceMs * 0.1, LEAST_MARGIN_MS)));
}

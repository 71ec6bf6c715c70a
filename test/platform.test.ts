import { describe, expect, it } from 'vitest';
import { budgetOf, detectPlatform, PLATFORMS } from '../src/platform.js';

const nowhere = () => false;

describe('platforms', () => {
  it.each([
    [{ K_SERVICE: 'orders' }, 'cloudRun', 10_000],
    [{ CLOUD_RUN_JOB: 'nightly' }, 'cloudRun', 10_000],
    [{ CLOUD_RUN_WORKER_POOL: 'pool' }, 'cloudRun', 10_000],
    [{ KUBERNETES_SERVICE_HOST: '10.0.0.1' }, 'kubernetes', 30_000],
    [{ ECS_CONTAINER_METADATA_URI_V4: 'x' }, 'ecs', 30_000],
    [{ AWS_LAMBDA_FUNCTION_NAME: 'f' }, 'lambda', 500],
    [{ FLY_APP_NAME: 'a' }, 'fly', 5000],
    [{ DYNO: 'web.1' }, 'heroku', 30_000],
    [{ CONTAINER_APP_NAME: 'a', KUBERNETES_SERVICE_HOST: '10.0.0.1' }, 'containerApps', 30_000],
    [{ RENDER: 'true' }, 'render', 30_000],
    [{ INVOCATION_ID: 'x' }, 'systemd', 90_000],
    [{ SUPERVISOR_ENABLED: '1' }, 'supervisord', 10_000],
    [{ pm_id: '0', KUBERNETES_SERVICE_HOST: '10.0.0.1' }, 'pm2', 1600],
    [{}, 'unknown', 10_000],
  ] as const)('%j is recognised as %s with %i ms', (env, name, graceMs) => {
    expect(detectPlatform(env, nowhere)).toMatchObject({ name, graceMs });
  });

  it('Docker is recognised by its file', () => {
    expect(detectPlatform({}, (path) => path === '/.dockerenv').name).toBe('docker');
  });

  it('A04: the preset for Cloud Run is 10 s and the budget stays below it by a margin', () => {
    expect(PLATFORMS.cloudRun.graceMs).toBe(10_000);
    expect(budgetOf(PLATFORMS.cloudRun.graceMs)).toBe(9000);
  });

  it.each([
    [30_000, 27_000],
    [1600, 1350],
    [500, 250],
    [200, 1],
  ])('of a grace period of %i ms, %i ms may be planned with', (graceMs, budgetMs) => {
    expect(budgetOf(graceMs)).toBe(budgetMs);
  });

  it('only Kubernetes asks for service after readiness is off', () => {
    const delayed = Object.values(PLATFORMS).filter(({ readinessDelayMs }) => readinessDelayMs > 0);
    expect(delayed.map(({ name }) => name)).toEqual(['kubernetes']);
  });
});

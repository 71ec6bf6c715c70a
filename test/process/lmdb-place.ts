import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { type HttpFarEnd, startFarEnd } from '../far-ends/http-server.js';
import { type Child, start } from './child.js';

const FIXTURE = 'keeps-jobs.js';
const children: Child[] = [];

/** Where a test's services run. */
interface Place {
  /** Jobs are kept in its folder `jobs`. */
  readonly folder: string;
  /** Of every service. */
  readonly env: Record<string, string>;
  /** Where reports go. */
  readonly farEnd: HttpFarEnd;
  /** What is answered to a report. */
  status: number;
}

/** The place of the test that runs now. */
export let place: Place;

/** Gives each test of a file a place of its own, and ends what it started there. */
export function useOwnPlace(): void {
  beforeEach(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-lmdb-'));
    const farEnd = await startFarEnd((response) => void response.writeHead(place.status).end());
    const env = {
      SHUTDOWN_STORE: `lmdb:${join(folder, 'jobs')}`,
      // Nearly all of it for the reports: a busy machine needs it.
      SHUTDOWN_BUDGET_MS: '4000',
      SHUTDOWN_RESERVE_MS: '3000',
      SHUTDOWN_WEBHOOK_URL: farEnd.origin,
    };
    place = { folder, env, farEnd, status: 204 };
  });

  afterEach(async () => {
    for (const child of children.splice(0)) if (child.process.exitCode === null) child.kill('SIGKILL');
    await place.farEnd.close();
    rmSync(place.folder, { recursive: true, force: true });
  });
}

/** Starts the fixture and waits until its jobs have begun. */
export async function ready(args: string[], through: string[] = []) {
  const child = begin(FIXTURE, args, through);
  await child.line('ready');
  const { stdout } = child.texts();
  return { ...child, instanceId: /ready (\w+)/.exec(stdout)?.[1] ?? '' };
}

export type Ready = Awaited<ReturnType<typeof ready>>;

export function begin(fixture: string, args: string[], through: string[] = []) {
  const child = start(fixture, { args, env: place.env, through });
  children.push(child);
  return child;
}

export async function killed(child: Ready): Promise<void> {
  child.kill('SIGKILL');
  await child.ended;
}

export async function stopped(child: Ready): Promise<void> {
  child.kill('SIGTERM');
  expect((await child.ended).code).toBe(0);
}

/**
 * Starts a process that looks for what others left until nothing is left, which it says when it found something: one more is
 * killed for it to find. @returns what that one leaves.
 */
export async function anotherLooks(): Promise<string[]> {
  const left = await ready(['1']);
  await killed(left);
  const next = await ready(['0']);
  await next.line('jobs of processes that are gone');
  await stopped(next);
  return idsOf(left, 1);
}

export async function readiness(child: Ready): Promise<[number, string]> {
  await child.line('port ');
  const port = /port (\d+)/.exec(child.texts().stdout)?.[1];
  const response = await fetch(`http://127.0.0.1:${port}/ready`);
  return [response.status, await response.text()];
}

interface Report {
  readonly id: string;
  readonly data: Record<string, unknown>;
}

/** Every envelope that came, whatever was answered. */
export function reports(): Report[] {
  return place.farEnd.requests.flatMap(({ body }) => JSON.parse(body) as Report[]);
}

export function ids(): string[] {
  return reports()
    .map(({ id }) => id)
    .sort();
}

/** Each id once. */
export function accepted(): string[] {
  return [...new Set(ids())];
}

export function idsOf({ instanceId }: Ready, count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${instanceId}/r${n + 1}`).sort();
}

export function dataFile(): string {
  return join(place.folder, 'jobs', 'jobs.mdb');
}

export function asideFiles(): string[] {
  return readdirSync(join(place.folder, 'jobs')).filter((name) => name.includes('.aside-'));
}

import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SuperviseOptions, SupervisorState } from '../../supervisor/index.js';
import { type Child, start } from './child.js';
import { pidsWith } from './processes.js';

/** What a primary has said it heard. */
export interface Event extends Readonly<Record<string, unknown>> {
  readonly name: string;
  /** By the clock of the machine. */
  readonly at: number;
  /** Ready workers at that time. */
  readonly count: number;
}

/** A service under a supervisor, in real processes. */
export interface Supervised {
  readonly primary: Child;
  readonly port: number;
  /** Nobody else's: state, jobs, sockets. */
  readonly folder: string;
  events(name?: string): Event[];
  /** Resolves with the first event of that name for which `is` holds, in the past or the future. */
  event(name: string, is?: (event: Event) => boolean): Promise<Event>;
  /** Calls a method of the supervisor. */
  call(method: string, ...args: unknown[]): Promise<unknown>;
  state(): Promise<SupervisorState>;
  /** One request on a connection of its own. */
  ask(path?: string): Promise<string>;
  /** The living processes of this service: primary, workers, whatever they have started. */
  alive(): number[];
}

export interface Plan extends Partial<SuperviseOptions> {
  readonly app?: string;
}

/** How a primary is started. */
export interface Surroundings {
  readonly fixture?: string;
  readonly args?: readonly string[];
  /** Through another command: as process 1 of a namespace, say. */
  readonly through?: readonly string[];
  /** A descriptor of this process that is number 3 of the primary. */
  readonly inherits?: number;
}

const undo: (() => void)[] = [];

/** Ends what is left of all services, and removes their files. */
export function endSupervised(): void {
  for (const step of undo.splice(0).reverse()) step();
}

/** Starts a service and waits until all of its workers are ready. */
export async function startSupervised(
  { app = 'supervised-app.js', ...options }: Plan = {},
  env: NodeJS.ProcessEnv = {},
  { fixture = 'supervises.js', args = [], through = [], inherits }: Surroundings = {},
): Promise<Supervised> {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  const port = await freePort();
  const alive = () => pidsWith('SCENE', folder);
  undo.push(() => {
    for (const pid of alive()) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const exec = fileURLToPath(new URL(`./fixtures/${app}`, import.meta.url));
  const primary = start(fixture, {
    args,
    through,
    ...(inherits !== undefined && { inherits }),
    env: {
      PLAN: JSON.stringify({ exec, workers: 2, ...options }),
      PORT: String(port),
      SCENE: folder,
      XDG_RUNTIME_DIR: folder,
      ...env,
    },
  });
  const service = describe(primary, port, folder, alive);
  await service.event('ready');
  return service;
}

function describe(primary: Child, port: number, folder: string, alive: () => number[]): Supervised {
  const lines = (word: string) =>
    [...primary.texts().stdout.matchAll(new RegExp(`^${word} (.*)$`, 'gm'))].map(
      ([, text]) => text as string,
    );
  const events = (name?: string) =>
    lines('event')
      .map((text) => JSON.parse(text) as Event)
      .filter((event) => name === undefined || event.name === name);
  let calls = 0;
  const call = async (method: string, ...args: unknown[]) => {
    calls += 1;
    const [id, prefix] = [calls, `${calls} `];
    primary.process.stdin?.write(`${JSON.stringify([id, method, ...args])}\n`);
    const result = () => lines('result').find((line) => line.startsWith(prefix));
    await primary.when(() => result() !== undefined, `the result of ${method}`);
    return JSON.parse((result() as string).slice(prefix.length));
  };
  return {
    primary,
    port,
    folder,
    alive,
    events,
    call,
    state: () => call('state') as Promise<SupervisorState>,
    event: async (name, is = () => true) => {
      await primary.when(() => events(name).some(is), `event ${name}`);
      return events(name).find(is) as Event;
    },
    ask: (path = '/') => ask(port, path),
  };
}

/** Asks `/block` of `supervised-jobs.js` until the request has come to the worker that is meant. */
export async function blockWorker(service: Supervised, pid: number, ms?: number): Promise<void> {
  const path = `/block?pid=${pid}${ms === undefined ? '' : `&ms=${ms}`}`;
  const isBlocked = () => blockedIn(service).some((one) => one.pid === pid);
  while (!isBlocked()) {
    const blocked = service.primary.when(isBlocked, 'a worker is blocked').catch(() => {});
    // What has come to a blocked one is never answered.
    await Promise.race([blocked, Promise.allSettled([1, 2, 3].map(() => service.ask(path)))]);
  }
}

/** Who is blocked, since when. */
export function blockedIn({ primary }: Supervised): { pid: number; at: number }[] {
  return [...primary.texts().stdout.matchAll(/^blocked (.*)$/gm)].map(([, text]) =>
    JSON.parse(text as string),
  );
}

/** @throws what went wrong with the connection. */
export function ask(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ port, path, host: '127.0.0.1', agent: new Agent({ keepAlive: false }) }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve(text)).on('error', reject);
    }).on('error', reject);
  });
}

/** A port that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

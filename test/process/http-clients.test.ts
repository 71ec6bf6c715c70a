import { Agent, get } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { ChildService, killServices } from '../http/child-service.js';
import { Relay } from '../http/relay.js';
import { runs } from './runs.js';

const CLIENTS = 24;
const WARM_UP = 300;
const relays: Relay[] = [];

afterEach(() => {
  killServices();
  for (const relay of relays.splice(0)) relay.close();
});

interface Load {
  readonly port: number;
  readonly keepAlive: boolean;
  /** Whether a failed request never reached the service. */
  excused(code: string | undefined, localPort: number | undefined): boolean;
  onServed(): void;
}

/** Clients that ask again as soon as they are answered, until the service refuses them. @returns the requests that were sent and lost. */
async function runClients({ port, keepAlive, excused, onServed }: Load): Promise<string[]> {
  const agent = new Agent(keepAlive ? { keepAlive, maxSockets: CLIENTS } : { keepAlive });
  const lost: string[] = [];
  const ask = () =>
    new Promise<boolean>((resolve) => {
      let localPort: number | undefined;
      const asked = get({ host: '127.0.0.1', port, agent }, (response) => {
        response.once('error', (error: NodeJS.ErrnoException) => lost.push(`answer cut: ${error.code}`));
        response.resume().once('close', () => {
          onServed();
          resolve(true);
        });
      });
      asked.once('socket', (socket) => {
        localPort = socket.localPort;
        if (!socket.connecting) return;
        socket.once('connect', () => {
          localPort = socket.localPort;
        });
      });
      asked.once('error', (error: NodeJS.ErrnoException) => {
        if (!excused(error.code, localPort)) lost.push(error.code ?? error.message);
        resolve(false);
      });
    });
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (await ask());
    }),
  );
  agent.destroy();
  return lost;
}

interface Run {
  readonly options: object;
  readonly keepAlive: boolean;
  readonly relayMs?: number;
  /** Whether the service itself is to know of no loss. @default true */
  readonly sound?: boolean;
}

/** A real SIGTERM in the middle of the load. @returns the requests that were lost. */
async function stopUnderLoad({ options, keepAlive, relayMs, sound = true }: Run): Promise<string[]> {
  const service = new ChildService('http-service.js', [JSON.stringify(options)]);
  const port = Number(await service.line('port'));
  const relay = relayMs === undefined ? undefined : await Relay.open(port, relayMs);
  if (relay) relays.push(relay);
  let served = 0;
  const lost = await runClients({
    port: relay?.port ?? port,
    keepAlive,
    excused: (code, localPort) => code === 'ECONNREFUSED' || relay?.refused.has(localPort ?? 0) === true,
    onServed: () => {
      served += 1;
      if (served === WARM_UP) service.kill('SIGTERM');
    },
  });
  const ending = await service.exited;
  relay?.close();
  expect(served).toBeGreaterThan(WARM_UP);
  expect(ending).toEqual({ code: 0, signal: null });
  const counts = JSON.parse(await service.line('counts')) as Record<string, number>;
  if (sound) expect(counts).toMatchObject({ reset: 0, refused: 0, left: 0 });
  return lost;
}

/** @returns the requests lost in so many runs. */
async function repeat(times: number, run: Run): Promise<string[]> {
  const lost: string[] = [];
  for (let number = 1; number <= times; number += 1) lost.push(...(await stopUnderLoad(run)));
  return lost;
}

const pool = { clients: 'a keep-alive pool', keepAlive: true };
const single = { clients: 'clients without keep-alive', keepAlive: false };

describe.each([pool, single])('$clients at full speed through SIGTERM', ({ keepAlive }) => {
  const timeout = 300_000;

  it(`B05, B10: ${runs(100)} runs with a readiness delay of 200 ms lose no request`, {
    timeout,
  }, async () => {
    expect(await repeat(runs(100), { options: { readinessDelayMs: 200 }, keepAlive })).toEqual([]);
  });

  it(`B05: ${runs(30)} runs without one over a wire of 5 ms each way lose no request`, {
    timeout,
  }, async () => {
    expect(await repeat(runs(30), { options: {}, keepAlive, relayMs: 5 })).toEqual([]);
  });
});

describe('the negative twin', () => {
  it('B01: with drainBacklog false requests of clients without keep-alive are lost', async () => {
    const options = { readinessDelayMs: 200, drainBacklog: false };
    let lost: string[] = [];
    for (let run = 1; run <= 30 && lost.length === 0; run += 1)
      lost = await stopUnderLoad({ options, keepAlive: false });
    expect(lost).not.toEqual([]);
  });

  it('B01: without a linger and without a drain of the backlog a pool loses requests over a wire of 5 ms', async () => {
    const options = { idleLingerMs: 0, drainBacklog: false };
    let lost: string[] = [];
    for (let run = 1; run <= 30 && lost.length === 0; run += 1)
      lost = await stopUnderLoad({ options, keepAlive: true, relayMs: 5, sound: false });
    expect(lost).not.toEqual([]);
  });
});

import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { Client } from '../../http/client.js';
import { PairExchange } from '../../http/exchange.js';
import { OpenRequests } from '../../http/open-requests.js';
import type { TrackedRequest } from '../../http/tracked-request.js';
import type { JobView } from '../../src/index.js';

function jobOf(id: string): JobView {
  return { id, type: 'render', payload: undefined, progress: undefined, startedAt: '' };
}

function clientOf(): Client {
  return { requests: 0, socket: { destroyed: false } } as Client;
}

function open(requests: OpenRequests): TrackedRequest {
  return requests.begin(new PairExchange({} as IncomingMessage, responseOf()), clientOf());
}

const whole = { complete: true } as IncomingMessage;

function responseOf(req = whole): ServerResponse {
  return Object.assign(new EventEmitter(), { req }) as ServerResponse;
}

/** Handles a request with this listener. */
function handle(requests: OpenRequests, listener: () => void): TrackedRequest {
  const record = open(requests);
  requests.run(record.response, undefined, listener);
  return record;
}

const idsOf = (record: TrackedRequest) => record.jobs.map(({ id }) => id);
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('the jobs of open requests', () => {
  it('A07: a job belongs to the request it was begun in, at once or after an await, and to no other', async () => {
    const requests = new OpenRequests(() => {});
    const other = handle(requests, () => {});
    const atOnce = handle(requests, () => requests.adopt(jobOf('1')));
    const later = handle(requests, () => void turn().then(() => requests.adopt(jobOf('2'))));
    await turn();
    await turn();
    expect([idsOf(other), idsOf(atOnce), idsOf(later)]).toEqual([[], ['1'], ['2']]);
  });

  it('A07: a job begun outside of any request is given to none', () => {
    const requests = new OpenRequests(() => {});
    const record = open(requests);
    requests.adopt(jobOf('1'));
    expect(idsOf(record)).toEqual([]);
    expect(requests.reported('1', 'delivered')).toBeUndefined();
  });

  it('A31: a finished job is taken off; a request is as well off as the worst of those left', () => {
    const requests = new OpenRequests(() => {});
    const [first, second, third] = [jobOf('1'), jobOf('2'), jobOf('3')];
    const record = handle(requests, () => [first, second, third].forEach((job) => void requests.adopt(job)));
    requests.release(first);
    expect(idsOf(record)).toEqual(['2', '3']);
    expect(requests.reported('2', 'delivered')).toBe(record);
    expect([record.reported, record.outcome]).toEqual([false, 'expired']);
    requests.reported('3', 'rejected');
    expect([record.reported, record.outcome]).toEqual([true, 'rejected']);
  });

  it('A29: a request that has ended is forgotten, and so are its jobs', () => {
    const requests = new OpenRequests(() => {});
    const record = handle(requests, () => requests.adopt(jobOf('1')));
    record.response.emit('close');
    expect([...requests]).toEqual([]);
    expect(requests.reported('1', 'delivered')).toBeUndefined();
  });
});

describe('noted requests', () => {
  const answered = (response: ServerResponse) => Object.assign(response, { destroyed: true });

  it('are followed when they are still open at the second look, in their order, and only then', () => {
    const endings: string[] = [];
    const requests = new OpenRequests((_record, ending) => void endings.push(ending));
    const [first, second, third] = [responseOf(), responseOf(), responseOf()];
    const client = clientOf();
    requests.note(first, client);
    requests.note(second, client);
    answered(second);
    requests.note(third, client);
    expect([first, second, third].map((response) => response.listenerCount('close'))).toEqual([1, 0, 0]);
    expect([...requests].map(({ response }) => response)).toEqual([first, third]);
    expect(client.requests).toBe(2);
    third.emit('close');
    expect([requests.size, client.requests, endings]).toEqual([1, 1, ['left']]);
  });

  it('that were answered before their body had come are told of: its rest is no next request', () => {
    const told: IncomingMessage[] = [];
    const requests = new OpenRequests(({ request }) => void told.push(request));
    const half = { complete: false } as IncomingMessage;
    for (const request of [half, whole]) requests.note(answered(responseOf(request)), clientOf());
    expect(requests.size).toBe(0);
    expect(told).toEqual([half]);
  });

  it('of a connection that is gone are forgotten', () => {
    const requests = new OpenRequests(() => {});
    const client = clientOf();
    requests.note(responseOf(), client);
    requests.abandon(client);
    requests.note(responseOf(), clientOf());
    requests.dispose();
    requests.note(responseOf(), { requests: 0, socket: { destroyed: true } } as Client);
    expect(requests.size).toBe(0);
  });

  it('A07: own the jobs begun in them', () => {
    const requests = new OpenRequests(() => {});
    const response = responseOf();
    requests.note(response, clientOf());
    requests.run(response, undefined, () => requests.adopt(jobOf('1')));
    expect([...requests].map(idsOf)).toEqual([['1']]);
  });
});

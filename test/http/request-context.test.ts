import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { Client } from '../../http/clients.js';
import { OpenRequests, type TrackedRequest } from '../../http/open-requests.js';
import { JOBLESS_REQUESTS } from '../../http/request-context.js';
import type { JobView } from '../../src/index.js';

function jobOf(id: string): JobView {
  return { id, type: 'render', payload: undefined, progress: undefined, startedAt: '' };
}

function open(requests: OpenRequests): TrackedRequest {
  const response = new EventEmitter() as ServerResponse;
  return requests.begin({} as IncomingMessage, response, { requests: 0 } as Client);
}

/** Handles a request with this listener. */
function handle(requests: OpenRequests, listener: () => void): TrackedRequest {
  const record = open(requests);
  requests.passOn(record, 'request', () => {
    listener();
    return true;
  });
  return record;
}

function afterManyWithoutJobs(count: number): OpenRequests {
  const requests = new OpenRequests(() => {});
  for (let number = 0; number < count; number += 1) handle(requests, () => {}).response.emit('close');
  return requests;
}

const idsOf = (record: TrackedRequest) => record.jobs.map(({ id }) => id);
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('following requests through asynchronous code', () => {
  it('A07: goes on up to the thousandth request without a job', () => {
    const before = afterManyWithoutJobs(JOBLESS_REQUESTS - 1);
    open(before);
    expect(before.following).toBe(true);
    open(before);
    expect(before.following).toBe(false);
  });

  it('A07: goes on for ever once a request has begun a job', () => {
    const requests = new OpenRequests(() => {});
    handle(requests, () => requests.adopt(jobOf('1')));
    for (let number = 0; number < 2 * JOBLESS_REQUESTS; number += 1) open(requests);
    expect(requests.following).toBe(true);
  });

  it('A07: given up, a job begun at once still belongs to its request alone, and following begins again', () => {
    const requests = afterManyWithoutJobs(JOBLESS_REQUESTS + 1);
    const other = handle(requests, () => {});
    const record = handle(requests, () => requests.adopt(jobOf('1')));
    expect([idsOf(record), idsOf(other), requests.following]).toEqual([['1'], [], true]);
  });

  it('A07: given up, a job begun after an await belongs to every request it may have been begun in', async () => {
    const requests = afterManyWithoutJobs(JOBLESS_REQUESTS + 1);
    const [a, b] = [0, 1].map(() => handle(requests, () => {})) as [TrackedRequest, TrackedRequest];
    const adopted = turn().then(() => requests.adopt(jobOf('1')));
    await adopted;
    const followed = handle(requests, () => void turn().then(() => requests.adopt(jobOf('2'))));
    await turn();
    await turn();
    expect([idsOf(a), idsOf(b), idsOf(followed)]).toEqual([['1'], ['1'], ['2']]);
    expect(requests.reported('1', 'rejected')).toEqual([a, b]);
    expect([a.outcome, b.outcome, followed.outcome]).toEqual(['rejected', 'rejected', 'expired']);
  });

  it('A07: such a job is taken off all of them when it is finished, or off the one that ends', () => {
    const requests = afterManyWithoutJobs(JOBLESS_REQUESTS + 1);
    const [a, b] = [open(requests), open(requests)];
    const [first, second] = [jobOf('1'), jobOf('2')];
    requests.adopt(first);
    requests.adopt(second);
    requests.release(first);
    expect([idsOf(a), idsOf(b)]).toEqual([['2'], ['2']]);
    a.response.emit('close');
    expect(requests.reported('2', 'delivered')).toEqual([b]);
    expect([...requests]).toEqual([b]);
  });

  it('A07: a job of nobody is given to nobody while all requests are followed', () => {
    const requests = new OpenRequests(() => {});
    const record = open(requests);
    requests.adopt(jobOf('1'));
    expect(idsOf(record)).toEqual([]);
  });
});

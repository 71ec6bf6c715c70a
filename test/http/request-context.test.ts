import { describe, expect, it } from 'vitest';
import { RequestContext } from '../../http/request-context.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A service that has answered so many requests without a job. */
function afterRequests(count: number, always = false): RequestContext<string> {
  const context = new RequestContext<string>(always);
  for (let number = 0; number < count; number += 1) context.run(`request ${number}`, () => undefined);
  return context;
}

/** Asks for the current request within one, after an await. */
async function askLate(context: RequestContext<string>, request: string): Promise<string | undefined> {
  return context.run(request, async () => {
    await turn();
    return context.current();
  });
}

describe('the context of a request', () => {
  it('A07: holds after an await, for requests side by side', async () => {
    const context = afterRequests(0);
    expect(await Promise.all(['a', 'b'].map((name) => askLate(context, name)))).toEqual(['a', 'b']);
    expect(context.current()).toBeUndefined();
  });

  it('of a service without a job in 1000 requests is not followed through its next await', async () => {
    expect(await askLate(afterRequests(999), 'the last on trial')).toBe('the last on trial');
    expect(await askLate(afterRequests(1000), 'the first one after')).toBeUndefined();
  });

  it('A07: is known there all the same until the first await, and to no code after the request', async () => {
    const context = afterRequests(1001);
    context.run('outer', () => {
      expect(context.run('inner', () => context.current())).toBe('inner');
    });
    expect(context.current()).toBeUndefined();
    await turn();
    expect(context.current()).toBeUndefined();
  });

  it('A07: is followed for good from the first job on, the request of that job included', async () => {
    const context = afterRequests(1001);
    const seen = await context.run('first', async () => {
      const before = context.current();
      await turn();
      return [before, context.current()];
    });
    expect(seen).toEqual(['first', 'first']);
    for (let number = 0; number < 3000; number += 1) context.run('more', () => undefined);
    expect(await askLate(context, 'later')).toBe('later');
  });

  it('A07: is always followed where the answer depends on the jobs', async () => {
    expect(await askLate(afterRequests(5000, true), 'any')).toBe('any');
  });

  it('is entered again by a part of the handling that Node calls elsewhere', () => {
    for (const context of [afterRequests(0), afterRequests(1001)])
      expect(context.enter('body', () => context.current())).toBe('body');
  });

  it('is left when the handling throws', () => {
    const context = afterRequests(1001);
    const fail = () =>
      context.run('thrower', () => {
        throw new Error('on purpose');
      });
    expect(fail).toThrow('on purpose');
    expect(context.current()).toBeUndefined();
  });
});

import { CloudEvent } from 'cloudevents';
import { beforeAll, describe, expect, it } from 'vitest';
import { isRedactionPath } from '../src/config/values.js';
import {
  completeEnvelope,
  type Envelope,
  EnvelopeWriter,
  envelopeJson,
  readEnvelope,
  truncateEnvelope,
} from '../src/envelope.js';
import { createSerialiser, loadSerialisers, safeJson } from '../src/safe-json.js';

beforeAll(loadSerialisers);

function envelope(payload: unknown, paths: string[] = [], id = 'j/1'): Envelope {
  const job = { id, key: id, type: 'render', payload, startedAt: '2030-01-01T00:00:00.000Z' };
  const origin = { service: 'my service', instanceId: '0123456789ab', serialise: createSerialiser(paths) };
  return new EnvelopeWriter(origin).write(job, {
    outcome: 'interrupted',
    reason: 'SIGTERM',
    elapsedMs: 1234,
    time: '2030-01-01T00:00:01.234Z',
  });
}

describe('an envelope', () => {
  it('is a valid CloudEvents 1.0 event', () => {
    const { data, ...attributes } = completeEnvelope(envelope({ page: 1 }));
    expect(new CloudEvent({ ...attributes, data }).validate()).toBe(true);
    expect(attributes).toEqual({
      specversion: '1.0',
      id: '0123456789ab/j/1',
      source: '/my%20service/0123456789ab',
      type: 'shutdown-bus.job.incomplete',
      subject: 'j/1',
      time: '2030-01-01T00:00:01.234Z',
      datacontenttype: 'application/json',
    });
  });

  it('its text is what JSON.stringify makes of it, to the letter', () => {
    for (const payload of [
      { a: [1, 'ü "x"\n'], b: null },
      undefined,
      'text',
      5,
      [],
      { nested: { deep: true } },
    ]) {
      const one = envelope(payload);
      expect(envelopeJson(one)).toBe(JSON.stringify(one));
    }
  });

  it('is frozen, its payload too', () => {
    const one = envelope({ list: [1] });
    expect(() => Object.assign(one, { id: 'other' })).toThrow(TypeError);
    expect(() => (one.data.payload as { list: number[] }).list.push(2)).toThrow(TypeError);
  });

  it('keeps the payload of the moment it was written', () => {
    const payload = { step: 1 };
    const one = envelope(payload);
    payload.step = 2;
    expect(one.data.payload).toEqual({ step: 1 });
  });

  it('truncated it keeps its id and says how much was left out', () => {
    const one = envelope({ big: 'ü'.repeat(10) });
    const { id, data } = truncateEnvelope(one);
    expect(id).toBe(one.id);
    expect(data).toMatchObject({
      payload: null,
      truncated: true,
      payloadBytes: Buffer.byteLength('{"big":""}') + 20,
    });
    expect(JSON.parse(envelopeJson(truncateEnvelope(one)))).toMatchObject({ data: { truncated: true } });
  });
});

describe('an envelope that is read from its text', () => {
  it.each([
    ['plain', { page: 7 }],
    ['one that looks like an envelope', { ',"datacontenttype":': ',"datacontenttype":' }],
  ])('is the same again, frozen: %s', (_name, payload) => {
    const one = envelope(payload, [], '","datacontenttype":"\\"é');
    const read = readEnvelope(envelopeJson(one));
    expect({ ...read }).toEqual({ ...one });
    expect(Object.isFrozen(read)).toBe(true);
    expect(envelopeJson(read)).toBe(envelopeJson(one));
    expect(completeEnvelope(read)).toEqual(completeEnvelope(one));
  });
});

describe('any payload is carried', () => {
  it('cycles, BigInts, dates, throwing getters and toJSONs cost only themselves', () => {
    const payload: Record<string, unknown> = {
      big: 2n ** 64n,
      when: new Date(0),
      bad: {
        toJSON() {
          throw new Error('no JSON today');
        },
      },
      worse: {
        get here() {
          throw new Error('no getter');
        },
      },
      fine: { kept: true },
    };
    payload.self = payload;
    const data = envelope(payload).data.payload as Record<string, unknown>;
    expect(data).toMatchObject({
      big: '18446744073709551616',
      when: '1970-01-01T00:00:00.000Z',
      self: '[Circular]',
      fine: { kept: true },
    });
    expect(data.bad).toMatch(/no JSON today/);
    expect(data.worse).toMatch(/no getter/);
  });

  it.each([
    [undefined, 'null'],
    [() => {}, 'null'],
    [Symbol('s'), 'null'],
    [Number.NaN, 'null'],
  ])('%s becomes %s', (value, text) => {
    expect(safeJson(value)).toBe(text);
  });

  it('a proxy that throws at everything and nesting without an end are carried as something', () => {
    const hostile = new Proxy(
      {},
      {
        get: () => {
          throw new Error('no');
        },
        ownKeys: () => {
          throw new Error('no');
        },
      },
    );
    let deep: object = {};
    for (let level = 0; level < 50_000; level += 1) deep = { deep };
    for (const value of [hostile, deep, { hostile, kept: 1 }])
      expect(() => JSON.parse(safeJson(value))).not.toThrow();
  });
});

describe('redaction', () => {
  it('takes the values out of the copy and leaves the original alone', () => {
    const payload = {
      user: { name: 'Ada', password: 'hunter2' },
      cards: [{ number: '4111' }],
      a: { token: 't' },
    };
    const one = envelope(payload, ['user.password', 'cards[*].number', '*.token']);
    expect(one.data.payload).toEqual({
      user: { name: 'Ada', password: '[Redacted]' },
      cards: [{ number: '[Redacted]' }],
      a: { token: '[Redacted]' },
    });
    expect(payload.user.password).toBe('hunter2');
  });

  it('without the paths the value is there', () => {
    expect(envelopeJson(envelope({ user: { password: 'hunter2' } }))).toContain('hunter2');
  });

  it('a toJSON cannot bring the value back, nor a BigInt beside it or a cycle', () => {
    const tricky: Record<string, unknown> = {
      user: { toJSON: () => ({ password: 'hunter2' }) },
      count: 5n,
    };
    tricky.self = tricky;
    expect(envelopeJson(envelope(tricky, ['user.password']))).not.toContain('hunter2');
  });

  it.each(['user.password', '*.token', 'cards[*].number', 'a["b c"].d', '*'])('%s is a path', (path) => {
    expect(isRedactionPath(path)).toBe(true);
  });

  it.each(['', 'a..b', '.a', 'a.', 'a[', 'a b', 5])('%s is none', (path) => {
    expect(isRedactionPath(path)).toBe(false);
  });
});

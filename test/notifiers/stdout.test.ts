import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { stdoutNotifier } from '../../notifiers/stdout.js';
import { envelopeJson } from '../../src/envelope.js';
import type { Notifier } from '../../src/notifier.js';
import { sampleEnvelope } from '../../src/testing/sample-envelopes.js';

const children: ReturnType<typeof spawn>[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function shell(command: string) {
  const child = spawn('sh', ['-c', command], { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

const samples = (count: number) => Array.from({ length: count }, () => sampleEnvelope());

function deliver(notifier: Notifier, batch = samples(1), signal = new AbortController().signal) {
  return notifier.deliver(batch, { signal, attempt: 1 });
}

const error = (message: string) => expect.objectContaining({ code: 'DELIVERY_FAILED', message });

describe('stdoutNotifier', () => {
  it('writes one line an envelope, in order', async () => {
    const stream = new PassThrough();
    const batch = [sampleEnvelope('line\nfeed \u2028 日本語'), sampleEnvelope(), sampleEnvelope()];
    const receipts = await deliver(stdoutNotifier({ stream }), batch);
    expect(receipts).toEqual(batch.map(({ id }) => ({ id, status: 'delivered' })));
    stream.end();
    const written = Buffer.concat(await stream.toArray()).toString();
    expect(written).toBe(batch.map((envelope) => `${envelopeJson(envelope)}\n`).join(''));
  });

  it('writes to process.stdout unless told otherwise', async () => {
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((...args: unknown[]) => {
      (args.at(-1) as () => void)();
      return true;
    });
    try {
      const [envelope = sampleEnvelope()] = samples(1);
      await deliver(stdoutNotifier(), [envelope]);
      expect(write.mock.calls.map(([line]) => line)).toEqual([`${envelopeJson(envelope)}\n`]);
    } finally {
      write.mockRestore();
    }
  });

  it('answers an empty batch with no receipts', async () => {
    expect(await deliver(stdoutNotifier({ stream: new PassThrough() }), [])).toEqual([]);
  });

  it('says delivered only when the line has been taken, not when it has been queued', async () => {
    const taken: (() => void)[] = [];
    const stream = new Writable({
      write(_line, _encoding, callback) {
        taken.push(callback);
      },
    });
    let settled = false;
    const call = deliver(stdoutNotifier({ stream }), samples(2)).finally(() => {
      settled = true;
    });
    taken.shift()?.();
    await vi.waitFor(() => expect(taken).toHaveLength(1));
    expect(settled).toBe(false);
    taken.shift()?.();
    expect((await call).map(({ status }) => status)).toEqual(['delivered', 'delivered']);
  });

  it('gets all of 100,000 lines through a pipe whose reader takes its time', {
    timeout: 30_000,
  }, async () => {
    const { stdin, stdout } = shell('sleep 0.5; exec wc -l');
    const notifier = stdoutNotifier({ stream: stdin });
    const batch = samples(notifier.maxBatchSize ?? 1);
    let deepestBytes = 0;
    for (let sent = 0; sent < 100_000; sent += batch.length) {
      const receipts = deliver(notifier, batch);
      deepestBytes = Math.max(deepestBytes, stdin.writableLength);
      expect((await receipts).every(({ status }) => status === 'delivered')).toBe(true);
    }
    const counted = once(stdout, 'data');
    stdin.end();
    expect(Number(String(await counted))).toBe(100_000);
    // One batch, never the whole of it.
    expect(deepestBytes).toBeLessThanOrEqual(Buffer.byteLength(batch.map(envelopeJson).join('\n')) + 1);
  });

  it('comes back retryable when the reader has gone, on every call, without an uncaught error', async () => {
    const { stdin, stdout } = shell('exec 0<&-; echo closed; exec sleep 60');
    await once(stdout, 'data');
    const notifier = stdoutNotifier({ stream: stdin });
    const [first, second] = [samples(2), samples(1)];
    const why = 'stdout could not be written: write EPIPE; its reader may have gone';
    const receipts = await deliver(notifier, first);
    expect(receipts).toEqual(first.map(({ id }) => ({ id, status: 'retryable', error: error(why) })));
    expect(receipts[0]).toHaveProperty('error', (receipts[1] as { error?: Error }).error);
    await new Promise(setImmediate);
    expect(stdin.listenerCount('error')).toBeGreaterThan(0);
    const gone = expect.stringMatching(/^stdout could not be written: /);
    expect(await deliver(notifier, second)).toEqual([
      { id: second[0]?.id, status: 'retryable', error: expect.objectContaining({ message: gone }) },
    ]);
  });

  it('tells apart the lines that were taken and those that were not', async () => {
    let lines = 0;
    const stream = new Writable({
      write(_line, _encoding, callback) {
        lines += 1;
        callback(lines === 2 ? new Error('disk full') : null);
      },
    });
    const receipts = await deliver(stdoutNotifier({ stream }), samples(3));
    expect(receipts.map(({ status }) => status)).toEqual(['delivered', 'retryable', 'retryable']);
    expect(receipts[1]).toHaveProperty('error.message', expect.stringContaining('disk full'));
  });

  it('comes back retryable when write itself throws', async () => {
    const stream = new PassThrough();
    stream.write = () => {
      throw new Error('EAGAIN');
    };
    const receipts = await deliver(stdoutNotifier({ stream }));
    expect(receipts[0]).toMatchObject({
      status: 'retryable',
      error: error(expect.stringContaining('EAGAIN')),
    });
  });

  it('comes back retryable when the stream is closed under it', async () => {
    const stream = new Writable({ write() {} });
    const call = deliver(stdoutNotifier({ stream }));
    stream.destroy();
    expect(await call).toMatchObject([{ status: 'retryable' }]);
  });

  it('comes back retryable when the signal aborts before the reader reads', async () => {
    const stream = new Writable({ write() {} });
    const abort = new AbortController();
    const call = deliver(stdoutNotifier({ stream }), samples(2), abort.signal);
    abort.abort();
    const why = error('stdout took no more lines in time; its reader may be slow or stuck');
    expect(await call).toMatchObject([
      { status: 'retryable', error: why },
      { status: 'retryable', error: why },
    ]);
  });

  it('writes nothing when the signal has aborted before', async () => {
    const stream = new PassThrough();
    expect(await deliver(stdoutNotifier({ stream }), samples(1), AbortSignal.abort())).toMatchObject([
      { status: 'retryable' },
    ]);
    expect(stream.read()).toBeNull();
  });

  it('leaves no listeners behind but one for errors, however often it is called', async () => {
    const stream = new PassThrough().resume();
    const before = { close: stream.listenerCount('close'), error: stream.listenerCount('error') };
    for (let call = 0; call < 20; call += 1) await deliver(stdoutNotifier({ stream }));
    expect(stream.listenerCount('close')).toBe(before.close);
    expect(stream.listenerCount('error')).toBe(before.error + 1);
  });

  it('does not end the stream when it is closed', async () => {
    const stream = new PassThrough();
    const notifier = stdoutNotifier({ stream });
    await notifier.close?.();
    await notifier.close?.();
    expect(stream.writable).toBe(true);
    expect(await deliver(notifier)).toMatchObject([{ status: 'delivered' }]);
  });
});

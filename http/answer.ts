import { type IncomingMessage, type OutgoingHttpHeader, type ServerResponse, STATUS_CODES } from 'node:http';
import { show } from '../src/errors.js';
import type { JobView } from '../src/index.js';
import { isHttp2Response } from './exchange.js';

/**
 * What became of the reports of a request's jobs: `delivered` when all were accepted, `rejected` or `expired` when one
 * was not, `no-jobs` when the request had none that were unfinished.
 */
export type AnswerOutcome = 'delivered' | 'rejected' | 'expired' | 'no-jobs';

/** What a request that cannot be finished is told instead of its real answer. */
export interface Answer {
  /** 200 to 599; its reason phrase is the standard one. @default 200 */
  readonly status?: number;
  /** Sent as UTF-8; statuses that have no body (204, 304) get none. @default 'OK FROM WORKER' */
  readonly body?: string;
  /** Besides Content-Length and Connection, which are ours. @default { 'Content-Type': 'text/plain; charset=utf-8' } */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
}

/** Chooses the answer for one request when the reports of its jobs are done. What it throws becomes a 503. */
export type AnswerFunction = (
  request: IncomingMessage,
  jobs: readonly JobView[],
  outcome: AnswerOutcome,
) => Answer | Promise<Answer>;

/** The documented defaults of an {@link Answer}. */
export const ANSWER_DEFAULTS = Object.freeze({ status: 200, body: 'OK FROM WORKER' });

/** Says that the work was not done here and is worth asking for again, at another instance, in a second. */
export const TRY_AGAIN: Answer = Object.freeze({
  status: 503,
  body: 'This instance is shutting down and could not finish the request.\n',
  headers: Object.freeze({ 'Retry-After': '1' }),
});

/** Says that the request did not arrive in time and may be sent again. */
export const REQUEST_TIMEOUT: Answer = Object.freeze({
  status: 408,
  body: 'This instance is shutting down and the request had not arrived in full.\n',
});

/** An answer's status and headers as text, for a connection that has no response to send it with. */
export function bareAnswer({ status = ANSWER_DEFAULTS.status, headers = {} }: Answer): string {
  const lines = Object.entries({ ...headers, Connection: 'close', 'Content-Length': '0' });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n`;
}

// They describe the answer that will not be sent.
const UNSENT =
  /^(content-.*|transfer-encoding|trailer|etag|last-modified|cache-control|expires|location|set-cookie|connection|keep-alive)$/;

const BODILESS = new Set([204, 304]);

/**
 * Sends the answer, as the last one on its connection if it is to be, unless the application has sent a status line already: then
 * nothing happens. From here on whatever the application still writes to this response is dropped without an error.
 * @returns whether it was sent.
 * @throws what Node throws for a header that is not legal; nothing was sent then.
 */
export function sendAnswer(response: ServerResponse, answer: Answer, last = true): boolean {
  if (response.headersSent || response.writableEnded || response.destroyed) return false;
  const { status = ANSWER_DEFAULTS.status, headers = {} } = answer;
  const body = BODILESS.has(status) ? undefined : Buffer.from(answer.body ?? ANSWER_DEFAULTS.body, 'utf8');
  for (const name of response.getHeaderNames()) if (UNSENT.test(name)) response.removeHeader(name);
  if (body) response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value as OutgoingHttpHeader);
  response.removeHeader('Transfer-Encoding');
  if (body) response.setHeader('Content-Length', body.byteLength);
  response.statusCode = status;
  if (!isHttp2Response(response)) {
    if (last) response.setHeader('Connection', 'close');
    // Empty, Node takes the standard phrase; the application may have set one that belongs to its own status.
    response.statusMessage = '';
  }
  response.end(body);
  mute(response);
  return true;
}

/**
 * Tells an unusable answer before any of it is sent.
 * @returns what is wrong and what is allowed, `undefined` for a usable one.
 */
export function problemOf(answer: unknown): string | undefined {
  if (typeof answer !== 'object' || answer === null)
    return `is ${show(answer)}, allowed: { status?, body?, headers? }`;
  const { status, body, headers } = answer as Partial<Answer>;
  if (status !== undefined && !(Number.isInteger(status) && status >= 200 && status <= 599))
    return `has the status ${show(status)}, allowed: an integer from 200 to 599`;
  if (body !== undefined && typeof body !== 'string') return `has the body ${show(body)}, allowed: a text`;
  if (headers !== undefined && (typeof headers !== 'object' || headers === null))
    return `has the headers ${show(headers)}, allowed: an object of names and values`;
  return undefined;
}

/** From here on the response takes calls and does nothing: a handler that comes back to it would throw otherwise. */
export function mute(response: ServerResponse): void {
  const same = () => response;
  const swallow = (...args: unknown[]) => {
    const callback = args.at(-1);
    if (typeof callback === 'function') process.nextTick(callback as () => void);
    return true;
  };
  const end = (...args: unknown[]) => {
    swallow(...args);
    return response;
  };
  Object.assign(response, {
    setHeader: same,
    setHeaders: same,
    appendHeader: same,
    removeHeader: () => undefined,
    writeHead: same,
    flushHeaders: () => undefined,
    writeContinue: () => undefined,
    writeProcessing: () => undefined,
    writeEarlyHints: () => undefined,
    addTrailers: () => undefined,
    write: swallow,
    end,
  });
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { mute } from './answer.js';

const EVENT_STREAM = /^text\/event-stream\b/i;

/**
 * Whether this is an `EventSource` that is being served: it asks for nothing but an event stream, it would never end by
 * itself, and when it ends its client connects again. A stream that was asked for in another way (an answer that comes
 * token by token, say) has an end of its own and is waited for like any response.
 */
export function isSubscription({ headers }: IncomingMessage, response: ServerResponse): boolean {
  if (headers.accept === undefined || !EVENT_STREAM.test(headers.accept.trim())) return false;
  return response.headersSent && !response.writableEnded && EVENT_STREAM.test(sentType(response));
}

/** Ends the stream in order. What the application still writes to it is dropped without an error. */
export function endEventStream(response: ServerResponse): void {
  response.end();
  mute(response);
}

/** The content type as it went out: `writeHead` leaves nothing for `getHeader` to find. */
function sentType(response: ServerResponse): string {
  const set = response.getHeader('content-type');
  if (set !== undefined) return String(set);
  const { stream } = response as { stream?: ServerHttp2Stream };
  if (stream) return String(stream.sentHeaders?.['content-type'] ?? '');
  const head = (response as { _header?: string | null })._header ?? '';
  return /^content-type:\s*(.*)$/im.exec(head)?.[1] ?? '';
}

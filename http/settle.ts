import { turn } from './backlog.js';
import { type Client, idleSince, isHalfRead } from './client.js';
import { LINGER_MS } from './clients.js';
import type { Drain } from './drain.js';

/** How long changes that nobody announces, bytes on an idle connection say, may go unseen, in milliseconds. */
const POLL_MS = 50;
/** How long the rest of a request head may take to come, each time, in milliseconds. */
const STALL_MS = 1000;
/** So many times `idleLingerMs` without a request before the trigger make a connection a quiet one … */
const QUIET_FACTOR = 4;
/** … that is kept for this part of it only. */
const QUIET_SHARE = 0.2;

/**
 * When idle connections are closed: after `idleLingerMs` without a request, or now.
 */
export type IdlePolicy = 'when-due' | 'at-once';

/**
 * Closes every connection as soon as nothing is lost by it, and resolves when none is left or when `signal` aborts.
 *
 * ```
 * request open                                  left alone
 * the beginning of one read                     told 408 when nothing more of it has come for STALL_MS
 * upgraded                                      ended when its farewell is over
 * idle                                          closed when due
 * answered for the last time                    closed by the client, or LINGER_MS later
 * ```
 */
export async function settleClients(drain: Drain, signal: AbortSignal, policy: IdlePolicy): Promise<void> {
  while (!drain.deserted && !signal.aborted) {
    // Right after the poll phase: whatever the kernel had was read, also when the loop was blocked and a timer is late.
    await turn();
    const nextMs = sweep(drain, policy);
    if (drain.deserted || signal.aborted) return;
    await drain.change(Math.min(nextMs, POLL_MS), signal);
  }
}

/** @returns milliseconds until the next connection is due. */
function sweep(drain: Drain, policy: IdlePolicy): number {
  const now = drain.settings.bus.config.clock.now();
  let nextMs = Number.POSITIVE_INFINITY;
  for (const client of drain.clients) {
    const dueMs = client.endedAt === undefined ? idleDue(drain, client, policy) : lingerDue(client);
    if (dueMs > now) nextMs = Math.min(nextMs, dueMs - now);
    else if (client.endedAt === undefined) drain.close(client);
    else drain.clients.destroy(client);
  }
  if (now >= drain.stoppedAt + drain.settings.idleLingerMs) drain.endStrangers();
  return nextMs;
}

/**
 * When a connection that still may send requests is closed. The longer a connection has been idle, the less likely is a request on its way just now,
 * and waiting more would not make it less so: one that has been quiet for long is not kept for long.
 */
function idleDue(drain: Drain, client: Client, policy: IdlePolicy): number {
  if (client.session) return sessionDue(drain, client, policy);
  if (client.requests > 0) return Number.POSITIVE_INFINITY;
  if (client.upgrade) return client.upgrade.endsAt ?? Number.POSITIVE_INFINITY;
  if (policy === 'at-once') return 0;
  if (isHalfRead(client)) return stallDue(drain, client);
  const { idleLingerMs } = drain.settings;
  const since = idleSince(client);
  const quiet = drain.stoppedAt - since >= idleLingerMs * QUIET_FACTOR;
  return Math.max(since, drain.stoppedAt) + idleLingerMs * (quiet ? QUIET_SHARE : 1);
}

/** When a session of HTTP/2 is closed. One in use would stay in use: nothing but GOAWAY tells its client to go elsewhere. */
function sessionDue({ settings, stoppedAt }: Drain, client: Client, policy: IdlePolicy): number {
  if (policy === 'at-once') return 0;
  const since = client.requests > 0 ? stoppedAt : Math.max(idleSince(client), stoppedAt);
  return since + settings.idleLingerMs;
}

/**
 * When half a request head is given up: not while more of it comes, nor while others are served, because then it may be us who are
 * slow, with two hundred handshakes say.
 */
function stallDue({ clients, settings }: Drain, client: Client): number {
  const { bytesRead } = client.socket;
  if (client.partBytes !== bytesRead) {
    client.partBytes = bytesRead;
    client.partSince = settings.bus.config.clock.now();
  }
  return Math.max(client.partSince, clients.lastActivity) + STALL_MS;
}

/** When a connection whose client does not close may be closed: not while the answer is still leaving. */
function lingerDue(client: Client): number {
  const { socket, session, requests, endedAt = 0 } = client;
  if (session)
    return requests > 0 ? Number.POSITIVE_INFINITY : Math.max(endedAt, idleSince(client)) + LINGER_MS;
  return socket.writableFinished ? endedAt + LINGER_MS : Number.POSITIVE_INFINITY;
}

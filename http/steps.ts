import { openShare } from '../src/budget.js';
import { sleep } from '../src/clock.js';
import type { ShutdownContext, ShutdownHandler, Subscription } from '../src/index.js';
import { ownCode } from '../src/own-code.js';
import { isQuick } from '../src/reason.js';
import { isSucceeded } from '../src/succession.js';
import { acceptQueueLength } from './accept-queue.js';
import { emptyBacklog, isLeftToOthers, turn } from './backlog.js';
import { companionsClosed } from './companions.js';
import type { Drain } from './drain.js';
import { settleClients } from './settle.js';

/** The place of the last step: just after the reports of open jobs, at 100. */
const ANSWER_PRIORITY = 90;
/** The part of the last step's time in which nothing is waited for any more, in milliseconds. */
const CLOSING_MS = 20;

/**
 * Subscribes the three steps of one server.
 *
 * ```
 * 300  stop intake :8080            readiness is off, keeps serving readinessDelayMs
 * 200  drain :8080                  empties the backlog, closes the listener, lets requests finish
 *  90  answer open requests :8080   tells the rest, ends what is left
 * ```
 * @returns their undo.
 * @throws {ShutdownError} what `subscribeShutdown` throws.
 */
export function subscribeSteps(drain: Drain): () => void {
  const { bus, idleLingerMs } = drain.settings;
  const { budgetMs } = bus.config;
  const label = drain.label === '' ? '' : ` ${drain.label}`;
  const details = () => ({ ...drain.counts });
  // Kept from a readiness delay that would leave the listener no time to close properly.
  const drainReserveMs = Math.min(idleLingerMs + 100, Math.floor(budgetMs / 10));
  const answerReserveMs = Math.min(300, Math.floor(budgetMs / 10));
  const own = (step: ShutdownHandler) => ownCode(step, () => drain.idle);
  const subscriptions: Subscription[] = [];
  const undo = () => {
    for (const unsubscribe of subscriptions) unsubscribe();
  };
  try {
    subscriptions.push(
      bus.subscribeShutdown(
        own((context) => stopIntake(drain, context)),
        {
          name: `stop intake${label}`,
          phase: 'intake',
          details: () => ({ readinessDelayMs: drain.settings.readinessDelayMs, ...details() }),
        },
      ),
      bus.subscribeShutdown(
        own((context) => drainClients(drain, context)),
        {
          name: `drain${label}`,
          phase: 'drain',
          reserveMs: drainReserveMs,
          details,
        },
      ),
      bus.subscribeShutdown(
        own((context) => answerRest(drain, context, answerReserveMs)),
        {
          name: `answer open requests${label}`,
          priority: ANSWER_PRIORITY,
          reserveMs: answerReserveMs,
          details,
        },
      ),
    );
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}

async function stopIntake(drain: Drain, { reason, signal }: ShutdownContext): Promise<void> {
  const { bus, readinessDelayMs } = drain.settings;
  if (isQuick(reason)) drain.closeListener();
  else if (!isSucceeded()) await sleep(bus.config.clock, readinessDelayMs, signal);
}

async function drainClients(drain: Drain, { signal, remainingMs }: ShutdownContext): Promise<void> {
  const { clock } = drain.settings.bus.config;
  const endsAt = clock.now() + remainingMs();
  if (drain.server.listening) await closeWhenQuiet(drain, signal, remainingMs() / 2);
  drain.sayGoodbye(signal);
  await settleClients(drain, signal, 'when-due');
  // Cut short by SIGQUIT, there was still time on the clock.
  drain.drained = !signal.aborted || clock.now() >= endsAt - 5;
}

async function closeWhenQuiet(drain: Drain, signal: AbortSignal, mostMs: number): Promise<void> {
  const { server, clients, parked, tally, settings } = drain;
  const { clock } = settings.bus.config;
  const waiting = () => acceptQueueLength(server);
  tally.backlogAtStart = waiting();
  if (!settings.drainBacklog) tally.endedBy = 'off';
  else if (isLeftToOthers() || isSucceeded()) tally.endedBy = 'others';
  else {
    await parked.untilCalm(clock, signal, () => clients.lastActivity);
    tally.endedBy = await emptyBacklog({
      clock,
      signal,
      mostMs,
      accepted: () => clients.accepted,
      waiting,
    });
  }
  // Nothing between the proof and the close: what comes in here would be lost.
  tally.backlogAtEnd = tally.endedBy === 'quiet' && tally.backlogAtStart !== undefined ? 0 : waiting();
  drain.closeListener();
  if (!isSucceeded()) await companionsClosed();
  parked.release();
}

async function answerRest(drain: Drain, context: ShutdownContext, reserveMs: number): Promise<void> {
  const { requests, answering, settings, log } = drain;
  const { clock } = settings.bus.config;
  const { signal, remainingMs } = context;
  drain.closeListener();
  drain.sayGoodbye(signal);

  // 1. The application's own answers are the best ones, as long as there is time.
  if (settings.answer === 'wait' && drain.drained) {
    const endsAt = clock.now() + remainingMs() - reserveMs;
    while (requests.size > 0 && !signal.aborted && clock.now() < endsAt)
      await drain.change(endsAt - clock.now(), signal);
  }

  // 2. Whoever has none is answered; a function that takes its time is not waited for to the end.
  for (const record of [...requests]) answering.answer(record);
  const thought = new AbortController();
  void answering.settled().then(() => thought.abort());
  await sleep(clock, remainingMs() / 2, AbortSignal.any([signal, thought.signal]));
  for (const record of [...requests]) if (!record.response.headersSent) answering.giveUp(record);

  // 3. Answers reach their clients, then everything is closed.
  const streaming = drain.drained && [...requests].some(({ response }) => !response.writableEnded);
  const lastMs = streaming ? remainingMs() - CLOSING_MS : Math.min(500, remainingMs() - CLOSING_MS);
  const share = openShare(clock, lastMs, () => undefined);
  await settleClients(drain, AbortSignal.any([signal, share.signal]), 'at-once');
  share.release();
  await turn();
  drain.destroyAll();
  const { answered, refused, reset, left } = drain.counts;
  log.info(
    `http: ${answered} requests answered, ${refused} refused, ${reset} reset, ${left} left by the client`,
  );
}

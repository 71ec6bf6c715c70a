import { type Runtime, Session } from 'node:inspector';
import { workerData } from 'node:worker_threads';
import { formatStack, QUESTION } from './call-frames.js';
import { type BlockedReport, type LoopReport, type LoopWatchData, WORD } from './memory.js';
import { nativeHint } from './native-hint.js';
import { openToAdd, writeAll } from './write-lines.js';

const STDERR = 2;
/** So long after the question the main thread is certainly in native code: JavaScript answers within milliseconds. */
const NATIVE_MS = 250;
const TERMINATED = 'Execution was terminated';

/** One time that the loop is blocked. */
interface Blockage {
  readonly session: Session;
  readonly askedAtMs: number;
  native: string | undefined;
  hasReported: boolean;
}

const {
  afterMs,
  abandonedMs = Number.POSITIVE_INFINITY,
  everyMs,
  prefix,
  reportTo,
  words,
} = workerData as LoopWatchData;
const parent = process.ppid;
const word = new Int32Array(words);
let lastBeat = Atomics.load(word, WORD.beat);
let lookedAt = performance.now();
/** For how long the main thread gave no sign, by the looks taken: a machine that stops both threads does not count. */
let silentMs = 0;
let blockage: Blockage | undefined;
let target = reportTo;

setInterval(look, everyMs);

function look(): void {
  silentMs += sinceLastLook();
  const beat = Atomics.load(word, WORD.beat);
  if (beat !== lastBeat) {
    if (blockage) end(blockage);
    blockage = undefined;
    lastBeat = beat;
    silentMs = 0;
  } else if (blockage) lookAgain(blockage);
  else if (silentMs >= afterMs) blockage = ask();
  if (silentMs >= abandonedMs && process.ppid !== parent) endAbandoned();
}

function endAbandoned(): void {
  writeAll(
    STDERR,
    `${prefix}the event loop is blocked, and whoever would end this process is gone: SIGKILL\n`,
  );
  process.kill(process.pid, 'SIGKILL');
}

function sinceLastLook(): number {
  const now = performance.now();
  const ms = Math.min(now - lookedAt, 2 * everyMs);
  lookedAt = now;
  return ms;
}

/**
 * Asks the main thread for its stack, as that of an exception: V8 answers between two of its instructions, wherever it is. A
 * debugger's pause would tell the same, but hold the program until this thread lets it go, and end the pause of anybody's debugger;
 * compiling nonsense would run the program's `Error.prepareStackTrace`. A number is thrown and caught within V8, and that is all.
 */
function ask(): Blockage {
  const session = new Session();
  const one: Blockage = { session, askedAtMs: silentMs, native: undefined, hasReported: false };
  try {
    session.connectToMainThread();
  } catch (error) {
    report(one, { native: `no inspector: ${(error as Error).message}` });
    return one;
  }
  session.post('Runtime.enable');
  session.post('Runtime.evaluate', { expression: QUESTION, silent: true }, (error, answer) => {
    // The time limit of a vm script, which has hit our question instead: it would never end.
    if (error?.message.endsWith(TERMINATED)) session.post('Runtime.terminateExecution');
    session.disconnect();
    if (blockage === one) answered(one, answer?.exceptionDetails?.stackTrace?.callFrames);
  });
  session.post('Runtime.disable');
  return one;
}

function answered(one: Blockage, callFrames: readonly Runtime.CallFrame[] | undefined): void {
  const stack = formatStack(callFrames ?? [], Atomics.load(word, WORD.sourceMaps) === 1);
  // Between two callbacks: it goes on right now.
  if (stack === '') return;
  report(one, { stack, ...(one.native !== undefined && { native: one.native }) });
}

function lookAgain(one: Blockage): void {
  if (one.hasReported || silentMs - one.askedAtMs < NATIVE_MS) return;
  one.native = nativeHint();
  report(one, { native: one.native });
}

function end({ session, hasReported }: Blockage): void {
  session.disconnect();
  if (!hasReported) return;
  const wentOnAfterMs = Math.round(silentMs);
  write([`the event loop went on after ${wentOnAfterMs} ms`], { wentOnAfterMs });
}

function report(one: Blockage, what: Omit<BlockedReport, 'blockedMs'>): void {
  one.hasReported = true;
  const blockedMs = Math.round(silentMs);
  const { stack, native } = what;
  const first =
    stack === undefined
      ? `the event loop has been blocked for ${blockedMs} ms, no stack: ${native}`
      : native === undefined
        ? `the event loop has been blocked for ${blockedMs} ms:`
        : `native code had blocked the event loop for ${blockedMs} ms, and right after it:`;
  write([first, ...(stack?.split('\n') ?? [])], { blockedMs, ...what });
}

function write(texts: readonly string[], json: LoopReport): void {
  // To whoever may kill this process soon.
  if (typeof target === 'string') target = openToAdd(target);
  if (target !== undefined) writeAll(target, `${JSON.stringify(json)}\n`);
  writeAll(STDERR, texts.map((text) => `${prefix}${text}\n`).join(''));
}

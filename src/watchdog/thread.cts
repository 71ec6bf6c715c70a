import fs = require('node:fs');
import v8 = require('node:v8');
import threads = require('node:worker_threads');

import type * as memory from './shared-memory.js' with { 'resolution-mode': 'import' };

type Port = import('node:worker_threads').MessagePort;

/** The voice, from its start on. */
interface Voice {
  readonly worker: import('node:worker_threads').Worker;
  readonly port: Port;
  called: boolean;
  /** What it was called for. */
  of: number;
  because: string;
  /** The beat when it had ended. */
  endedAt: number | undefined;
}

// Written out once more: to load the file they come from would cost every shutdown. The compiler compares them.
const WORD: typeof memory.WORD = {
  state: 0,
  turn: 1,
  beat: 2,
  beatAt: 3,
  voiced: 4,
  inside: 5,
  floor: 6,
  doubt: 7,
  voiceBeat: 8,
  due: 9,
};
const TURN: typeof memory.TURN = { nobody: 0, main: 1, voice: 2, over: 3 };
const FLOOR: typeof memory.FLOOR = { nobody: 0, main: 1, thread: 2, over: 3 };
const FLAG: typeof memory.FLAG = { settled: 1, voiced: 2, kept: 4, parted: 8 };
/** Flags of a job that needs no delivery any more. */
const REPORTED = FLAG.settled | FLAG.voiced;
const STDERR = 2;
/** A full pipe that nobody reads holds the end up for so long, one that is read slowly for so long in all. */
const MOST_WAIT_MS = 100;
const MOST_WRITING_MS = 1000;
/** How long the main thread may take to say its last words: longer than any pause it allows a full pipe. */
const MOST_LISTENING_MS = 2000;
/** How long it may take to leave after its last words. */
const LEAVING_MS = 100;
const LINE_FEED = 10;
/** So long after its last round the event loop is certainly blocked. */
const BLOCKED_MS = 250;
/** So long before reports are due the thread begins to look, and may start the voice: SDKs take their time to load. */
const AHEAD_MS = 1500;
const LOOK_MS = 10;

const {
  words,
  flags,
  startedAt,
  dueAt,
  prefix,
  voice: plan,
  undue,
} = threads.workerData as memory.WatchdogData;
const word = new Int32Array(words);
const flag = new Uint8Array(flags);
const others = new Int32Array(undue);
const inbox = threads.parentPort as Port;
const pieces: memory.Piece[] = [];
let handlers: readonly string[] = [];
let voice: Voice | undefined;
let lastBeat = -1;
/** For how long the main thread gave no sign, by the looks taken: a machine that stops both threads does not count. */
let silentMs = 0;
/** Milliseconds since a full pipe took something. */
let waited = 0;

// No event loop here either: the thread sleeps until it is disarmed or due.
let armed = pause((plan ? plan.speakAt - AHEAD_MS : dueAt) - now());
while (armed && now() < dueAt) {
  if (plan) look(plan);
  armed = pause(Math.min(LOOK_MS, dueAt - now()));
}
if (armed && end()) kill();
voice?.worker.terminate();

/** Whether it is still armed after so long. */
function pause(ms: number): boolean {
  return Atomics.wait(word, WORD.state, 0, Math.max(0, ms)) === 'timed-out';
}

/** On the clock of all threads. */
function now(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** Starts the voice when the main thread is silent, and calls it when reports are due. */
function look(plan: memory.VoicePlan): void {
  const beat = Atomics.load(word, WORD.beat);
  silentMs = beat === lastBeat ? silentMs + LOOK_MS : 0;
  lastBeat = beat;
  if (voice) listen(voice);
  const turn = Atomics.load(word, WORD.turn);
  const patienceMs = turn === TURN.main ? plan.deliveringPatienceMs : plan.patienceMs;
  // Ahead of its turn: at the latest when half of the longer patience is used up.
  const startMs = Math.max(plan.patienceMs, patienceMs / 2);
  if (voice?.called || turn === TURN.over || silentMs < startMs || now() >= plan.endsAt) return;
  receive();
  const of = countWithout(REPORTED);
  if (of === 0) return;
  voice ??= startVoice(plan);
  if (now() < plan.speakAt || silentMs < patienceMs) return;
  const call: memory.Call = { turn, beat };
  voice.port.postMessage(call);
  Object.assign(voice, { called: true, of, because: describeBlock() });
}

function startVoice({ env, ...plan }: memory.VoicePlan): Voice {
  const { port1: port, port2 } = new threads.MessageChannel();
  const data: memory.VoiceData = { words, flags, prefix, plan, port: port2 };
  // A thread of its own: the deadline and the last words must not depend on what notifiers and SDKs do.
  const worker = new threads.Worker(`${__dirname}/voice.js`, {
    workerData: data,
    transferList: [port2],
    env,
    execArgv: [],
  });
  for (const piece of pieces) port.postMessage(piece);
  return { worker, port, called: false, of: 0, because: '', endedAt: undefined };
}

/** Passes on what the voice says at its end. */
function listen(voice: Voice): void {
  const spoken = threads.receiveMessageOnPort(voice.port)?.message as memory.Spoken | undefined;
  if (spoken === 'void') voice.called = false;
  else if (spoken) {
    voice.endedAt = lastBeat;
    const { of, because } = voice;
    const delivered = Atomics.load(word, WORD.voiced);
    const toMain: memory.SpokenFor = { of, delivered, because, notifiers: spoken };
    inbox.postMessage(toMain);
  }
}

/** Reads what the main thread has sent so far. */
function receive(): void {
  for (let one = threads.receiveMessageOnPort(inbox); one; one = threads.receiveMessageOnPort(inbox)) {
    const message = one.message as memory.ToThread;
    if (typeof message !== 'string') {
      handlers = message.handlers;
      continue;
    }
    const piece = toPiece(`${message}\n`);
    pieces.push(piece);
    voice?.port.postMessage(piece);
  }
}

function toPiece(text: string): memory.Piece {
  const lines = new SharedArrayBuffer(Buffer.byteLength(text));
  const bytes = Buffer.from(lines);
  bytes.write(text);
  let count = 0;
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) count += 1;
  return { lines, count };
}

function has(index: number, flags: number): boolean {
  return ((flag[index] ?? 0) & flags) !== 0;
}

/** How many jobs have none of these flags. */
function countWithout(flags: number): number {
  const held = pieces.reduce((sum, { count }) => sum + count, 0);
  let open = 0;
  for (let index = 0; index < held; index += 1) if (!has(index, flags)) open += 1;
  return open;
}

function blockedMs(): number {
  return now() - startedAt - Atomics.load(word, WORD.beatAt);
}

/** Since when the event loop is blocked, and by whom as far as that can be known. */
function describeBlock(): string {
  const since = new Date(Date.now() - blockedMs()).toISOString();
  const inside = Atomics.load(word, WORD.inside) === 1;
  const named = inside ? `in ${handlers.at(-1)}` : `while ${handlers.slice(-3).join(', ')} ran`;
  return `the event loop was blocked since ${since}${handlers.length > 0 ? `, ${named}` : ''}`;
}

/** The deadline: whoever has the floor says what is left to say. Returns whether nothing else ends the process. */
function end(): boolean {
  const before = Atomics.compareExchange(word, WORD.floor, FLOOR.nobody, FLOOR.thread);
  if (before === FLOOR.nobody) speakLast();
  else if (before === FLOOR.main) Atomics.wait(word, WORD.floor, FLOOR.main, MOST_LISTENING_MS);
  // Everything is said, and the main thread on its way out: its exit code tells more than a kill.
  if (Atomics.load(word, WORD.floor) === FLOOR.over && !pause(LEAVING_MS)) return false;
  if (Atomics.exchange(word, WORD.due, 1) === 0) Atomics.sub(others, 0, 1);
  // Another bus has more time, and last words of its own.
  while (Atomics.load(others, 0) > 0) if (!pause(LOOK_MS)) return false;
  return true;
}

function speakLast(): void {
  receive();
  // Of these no line is needed.
  const safe = REPORTED | (Atomics.load(word, WORD.doubt) === 0 ? FLAG.kept : 0);
  const beat = Atomics.load(word, WORD.beat);
  const delivered = Atomics.load(word, WORD.voiced);
  const open = countWithout(safe);
  const kept = countWithout(REPORTED) - open;
  // Otherwise the main thread has said it.
  if (voice?.called && (voice.endedAt ?? beat) === beat)
    write(
      `${prefix}the watchdog thread delivered ${delivered} of ${voice.of} open jobs, because ${voice.because}\n`,
    );
  else if (blockedMs() > BLOCKED_MS) write(`${prefix}${describeBlock()}\n`);
  write(
    `${prefix}the event loop was still blocked at the deadline; ending the process, ${open} open jobs follow` +
      `${kept > 0 ? `, ${kept} stay in the store` : ''}\n`,
  );
  let index = 0;
  for (const piece of pieces) index = writeOpen(piece, index, safe);
}

/** Writes those lines of a piece whose jobs are still open. Returns the number of the first line after it. */
function writeOpen({ lines, count }: memory.Piece, first: number, safe: number): number {
  const bytes = Buffer.from(lines);
  let from = 0;
  for (let line = 0; line < count; line += 1) {
    const to = bytes.indexOf(LINE_FEED, from) + 1;
    if (!has(first + line, safe)) write(bytes.subarray(from, to));
    from = to;
  }
  return first + count;
}

function write(text: string | Buffer): void {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  for (let written = 0; written < bytes.length && waited < MOST_WAIT_MS; ) {
    try {
      written += fs.writeSync(STDERR, bytes, written);
      waited = 0;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      waited = now() > dueAt + MOST_WRITING_MS ? MOST_WAIT_MS : waited + 1;
    }
  }
}

function kill(): void {
  process.kill(process.pid, 'SIGKILL');
  // The kernel shields the first process of a container even from that, as long as it comes from within. A breakpoint
  // trap raised by the processor it does not shield from.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  v8.setFlagsFromString('--allow-natives-syntax');
  new Function('%SystemBreak()')();
}

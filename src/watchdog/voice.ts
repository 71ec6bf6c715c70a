import { writeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { workerData } from 'node:worker_threads';
import { systemClock } from '../clock.js';
import type { NotifierSettings } from '../config/notifier-settings.js';
import { loadNotifier } from '../delivery/notifier-loader.js';
import type { EnvelopeList } from '../delivery.js';
import { type Envelope, readEnvelope } from '../envelope.js';
import { messageOf } from '../errors.js';
import { DeliveryMarks } from '../jobs/delivery-marks.js';
import { loadStore } from '../safekeeping/store-loader.js';
import type { JobStore } from '../store.js';
import { directStream } from './direct-stream.js';
import {
  type Call,
  FLAG,
  FLOOR,
  monotonicMs,
  type Piece,
  type Spoken,
  TURN,
  type VoiceData,
  WORD,
} from './shared-memory.js';

// A thread that delivers in place of a blocked main thread. The watchdog's thread starts it when it may be needed, and
// calls it when it is: from then on it has the turn, until everything has its outcome, the time is up, or the main
// thread takes the turn back.

const { words, flags, prefix, plan, port } = workerData as VoiceData;
const word = new Int32Array(words);
const flag = new Uint8Array(flags);
const STDOUT = 1;
const STDERR = 2;
/** How often it shows that it lives, and looks whether the main thread took the turn back. */
const LOOK_MS = 10;

const lines: string[] = [];
let stdout: Writable | undefined;

// A stray error of an SDK costs a delivery at most.
process.on('uncaughtException', (error) => say(`the watchdog thread met an error: ${messageOf(error)}`));
const [notifiers, { deliverEnvelopes }] = await Promise.all([
  Promise.all(plan.settings.map((one) => loadNotifier(inThread(one)))),
  import('../delivery.js'),
]);
for (const notifier of notifiers) void (async () => notifier.warmUp?.())().catch(() => {});
port.on('message', (message: Piece | Call) => {
  if ('count' in message) {
    for (const line of Buffer.from(message.lines).toString().split('\n', message.count)) lines.push(line);
  } else void speak(message).then((spoken) => port.postMessage(spoken));
});

function inThread(settings: NotifierSettings): NotifierSettings {
  if (settings.kind !== 'stdout') return settings;
  stdout = directStream(STDOUT);
  return { kind: 'stdout', options: { stream: stdout } };
}

async function speak({ turn, beat }: Call): Promise<Spoken> {
  if (Atomics.load(word, WORD.beat) !== beat) return 'void';
  if (Atomics.compareExchange(word, WORD.turn, turn, TURN.voice) !== turn) return 'void';
  // The main thread may have written half a line.
  if (turn === TURN.main) stdout?.write('\n');
  const handled = FLAG.settled | FLAG.voiced;
  const open = [...lines.keys()].filter((index) => ((flag[index] ?? 0) & handled) === 0);
  const takenBack = new AbortController();
  const looking = setInterval(() => {
    Atomics.add(word, WORD.voiceBeat, 1);
    if (Atomics.load(word, WORD.turn) !== TURN.voice) takenBack.abort();
  }, LOOK_MS);
  const envelopes = new HeldEnvelopes(open);
  const marks = createMarks();
  const truncated = new Set<number>();
  const result = await deliverEnvelopes(envelopes, {
    notifiers,
    mode: plan.mode,
    clock: systemClock,
    random: Math.random,
    remainingMs: () => Math.max(0, plan.endsAt - monotonicMs()),
    signal: takenBack.signal,
    onOutcome: ({ index, outcome }) => {
      if (outcome !== 'delivered') return;
      markVoiced(open[index] as number, truncated.has(index));
      marks?.add(envelopes.at(index).id, truncated.has(index));
    },
    onTruncated: (index) => void truncated.add(index),
    onError: (name, error, attempt) =>
      say(`notifier ${name} failed in the watchdog thread, attempt ${attempt}: ${messageOf(error)}`),
  });
  await marks?.settle();
  clearInterval(looking);
  Atomics.compareExchange(word, WORD.turn, TURN.voice, TURN.nobody);
  return result.notifiers;
}

/** Tells the store, so that no survivor reports again what was delivered here. Otherwise that is what happens. */
function createMarks(): DeliveryMarks | undefined {
  if (plan.store === undefined) return undefined;
  let store: JobStore;
  try {
    store = loadStore(plan.store);
  } catch (error) {
    say(`the watchdog thread cannot open the store: ${messageOf(error)}`);
    return undefined;
  }
  const failed = (error: unknown) => say(`the watchdog thread cannot tell the store: ${messageOf(error)}`);
  return new DeliveryMarks({ store, try: (work) => work().catch(failed), unmarked: () => {} });
}

function markVoiced(index: number, isParted: boolean): void {
  if (index < flag.length) Atomics.or(flag, index, isParted ? FLAG.voiced | FLAG.parted : FLAG.voiced);
  Atomics.add(word, WORD.voiced, 1);
}

/** One line on stderr; none when its pipe is full, or somebody says last words there. */
function say(text: string): void {
  if (Atomics.load(word, WORD.floor) !== FLOOR.nobody) return;
  try {
    writeSync(STDERR, `${prefix}${text.replace(/\s*\n\s*/g, ' ')}\n`);
  } catch {
    // There is nowhere left to say it.
  }
}

/** The envelopes of some of the lines, each read when it is first asked for. */
class HeldEnvelopes implements EnvelopeList {
  readonly length: number;
  readonly #indexes: readonly number[];
  readonly #read: (Envelope | undefined)[];

  constructor(indexes: readonly number[]) {
    this.length = indexes.length;
    this.#indexes = indexes;
    this.#read = new Array(indexes.length);
  }

  at(index: number): Envelope {
    let envelope = this.#read[index];
    if (envelope === undefined) {
      envelope = readEnvelope(lines[this.#indexes[index] as number] as string);
      this.#read[index] = envelope;
    }
    return envelope;
  }
}

// @ts-check
import { existsSync } from 'node:fs';
import { compare } from './pairs.js';
import { askProgram, startProgram } from './processes.js';

export const about = 'the memory a shutdown takes: what the memory watch leaves room for';
export const defaultRounds = 5;

/** @typedef {{ before: number, peak: number, heapBefore: number, heapPeak: number, text: number }} Answer */

const MIB = 2 ** 20;
const MANY = { jobs: 10_000, payloadBytes: 1000 };

/**
 * Each measurement is one process that shuts down once, with a webhook at the other end. With one job it is what the threads and the
 * code take; with many, what goes beyond that is held against the text of their reports.
 * @param {number} rounds
 */
export async function run(rounds) {
  if (!existsSync('/proc/self/clear_refs'))
    throw new Error('the peak of memory can be measured on Linux only');
  const receiver = startProgram('receiver.js');
  const { url } = await receiver.next();
  /** @type {(jobs: number, payloadBytes: number) => Promise<Answer>} */
  const ask = (jobs, payloadBytes) =>
    askProgram('shutdown-memory.js', [url, String(jobs), String(payloadBytes)]);
  const [one, many] = [/** @type {Answer[]} */ ([]), /** @type {Answer[]} */ ([])];
  for (let round = 0; round < rounds; round += 1) {
    one.push(await ask(1, 100));
    many.push(await ask(MANY.jobs, MANY.payloadBytes));
  }
  receiver.process.kill();
  const resident = growth(one, ({ before, peak }) => [peak, before]);
  const heap = growth(one, ({ heapBefore, heapPeak }) => [heapPeak, heapBefore]);
  return [
    compare(
      { name: 'one job: resident memory', unit: 'MiB', relation: 'difference', goal: { atMost: 16 } },
      resident,
    ),
    compare({ name: "one job: V8's heap", unit: 'MiB', relation: 'difference', goal: { atMost: 4 } }, heap),
    compare(
      { name: '10,000 jobs: resident, to their text', unit: 'MiB', relation: 'ratio', goal: { atMost: 8 } },
      perText(
        many,
        ({ before, peak }) => peak - before,
        one.map(({ before, peak }) => peak - before),
      ),
    ),
    compare(
      { name: "10,000 jobs: V8's heap, to their text", unit: 'MiB', relation: 'ratio', goal: { atMost: 5 } },
      perText(
        many,
        ({ heapBefore, heapPeak }) => heapPeak - heapBefore,
        one.map(({ heapBefore, heapPeak }) => heapPeak - heapBefore),
      ),
    ),
  ];
}

/** @param {readonly Answer[]} answers @param {(answer: Answer) => [number, number]} pick */
function growth(answers, pick) {
  return answers.map((answer) => {
    const [ours, reference] = pick(answer).map((bytes) => bytes / MIB);
    return { ours: /** @type {number} */ (ours), reference: /** @type {number} */ (reference) };
  });
}

/** @param {readonly Answer[]} answers @param {(answer: Answer) => number} pick @param {readonly number[]} fixed what it takes in any case */
function perText(answers, pick, fixed) {
  return answers.map((answer, index) => ({
    ours: (pick(answer) - (fixed[index] ?? 0)) / MIB,
    reference: answer.text / MIB,
  }));
}

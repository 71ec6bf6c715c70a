// @ts-check
import { readFileSync } from 'node:fs';
import { compare, quantile } from '../pairs.js';
import { measureExit } from './exit.js';

/** @typedef {import('./exit.js').Scene} Scene @typedef {import('./exit.js').Exit} Exit */

export const defaultRounds = 10;

/** After so long a service is ended by force and counts as one that hangs. */
const LIMIT_MS = 5000;
/** How much slower than the fastest peer is good enough. */
const GOAL_MS = 20;
const LINGER_MS = 250;
/** Files that a process has open beside its sockets. */
const OTHER_FILES = 100;

/** @type {readonly Scene[]} */
const SCENES = [
  { name: 'nothing connected', idle: 0, asking: 0 },
  { name: '200 idle sockets', idle: 200, asking: 0 },
  { name: '5,000 idle sockets', idle: 5000, asking: 0 },
  { name: '50 in flight', idle: 0, asking: 50 },
];

/**
 * What is measured in every scene.
 * @typedef {object} Candidate
 * @property {string} name
 * @property {string} helper
 * @property {object} settings
 * @property {boolean} peer
 * @property {number} [goalMs]
 */

/** @param {readonly string[]} peers @returns {readonly Candidate[]} */
function candidatesWith(peers) {
  const ours = { helper: 'shutdown-bus', peer: false };
  return [
    { ...ours, name: 'shutdown-bus, linger off', settings: { idleLingerMs: 0 }, goalMs: GOAL_MS },
    {
      ...ours,
      name: 'shutdown-bus',
      settings: { idleLingerMs: LINGER_MS },
      goalMs: GOAL_MS + LINGER_MS,
    },
    ...peers.map((helper) => ({ name: helper, helper, settings: {}, peer: true })),
    { name: 'bare process.exit', helper: 'bare', settings: {}, peer: false },
  ];
}

/**
 * Every candidate in every scene, one after the other in every round, each time in fresh processes.
 * @param {{ peers: readonly string[], rounds?: number | undefined }} wishes
 * @returns {Promise<import('../results.js').Results>}
 */
export async function run({ peers, rounds = defaultRounds }) {
  const candidates = candidatesWith(peers);
  const rows = [];
  const failures = [];
  for (const scene of SCENES) {
    try {
      checkFiles(scene.idle + scene.asking + OTHER_FILES);
      rows.push(...rowsOf(scene, candidates, await measureAll(scene, candidates, rounds)));
    } catch (error) {
      failures.push({ name: `exit, ${scene.name}`, error: String(error) });
    }
  }
  return { rows, failures };
}

/** @param {Scene} scene @param {readonly Candidate[]} candidates @param {number} rounds */
async function measureAll(scene, candidates, rounds) {
  /** @type {Map<Candidate, Exit[]>} */
  const exits = new Map(candidates.map((candidate) => [candidate, []]));
  for (let round = 0; round < rounds; round += 1) {
    process.stderr.write(`exit, ${scene.name}, round ${round + 1} of ${rounds} …\n`);
    for (const [candidate, list] of exits)
      list.push(await measureExit(candidate.helper, candidate.settings, scene, LIMIT_MS));
  }
  return exits;
}

/**
 * @param {Scene} scene
 * @param {readonly Candidate[]} candidates
 * @param {ReadonlyMap<Candidate, readonly Exit[]>} exits
 */
function rowsOf(scene, candidates, exits) {
  const of = (/** @type {Candidate} */ candidate) => exits.get(candidate) ?? [];
  const times = (/** @type {Candidate} */ candidate) => of(candidate).map(({ ms }) => ms);
  const median = (/** @type {Candidate} */ candidate) => quantile(times(candidate), 0.5);
  const sound = candidates.filter((one) => one.peer && of(one).every(({ cut, hung }) => cut === 0 && !hung));
  const [fastest] = sound.sort((a, b) => median(a) - median(b));
  const reference = fastest ?? /** @type {Candidate} */ (candidates.at(-1));
  return candidates.map((candidate) => {
    const { name, goalMs } = candidate;
    const pairs = times(candidate).map((ours, round) => ({
      ours,
      reference: times(reference)[round] ?? Number.NaN,
    }));
    const what = {
      name: `${scene.name}: ${name}`,
      unit: 'ms',
      relation: /** @type {const} */ ('difference'),
      goal: goalMs === undefined || fastest === undefined ? null : { atMost: goalMs },
      limit: LIMIT_MS,
      note: noteOn(of(candidate), scene, candidate === reference),
    };
    return compare(what, pairs);
  });
}

/** What a time alone does not tell. @param {readonly Exit[]} exits @param {Scene} scene @param {boolean} isReference */
function noteOn(exits, scene, isReference) {
  const cut = exits.reduce((sum, exit) => sum + exit.cut, 0);
  const hung = exits.filter((exit) => exit.hung).length;
  const codes = new Set(exits.filter((exit) => !exit.hung).map(({ ended }) => ended));
  codes.delete('0');
  const notes = [
    isReference ? 'the reference' : '',
    cut > 0 ? `cuts ${Math.round(cut / exits.length)} of ${scene.asking} requests` : '',
    hung > 0 ? `hangs in ${hung} of ${exits.length}` : '',
    codes.size > 0 ? `ends with ${[...codes].join(', ')}` : '',
  ];
  return notes.filter((note) => note !== '').join(', ');
}

/** Node itself asks for as many files as the hard limit allows. @param {number} wanted @throws {Error} when that is too few */
function checkFiles(wanted) {
  if (process.platform !== 'linux') return;
  const most = /^Max open files +\d+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  if (most !== undefined && Number(most) < wanted)
    throw new Error(`it takes ${wanted} open files in one process; ulimit -Hn allows ${most}`);
}

// @ts-check
import { isWhole } from './payload.js';

/**
 * One job as the ledger knows it.
 * @typedef {object} Entry
 * @property {string} instanceId
 * @property {number} nr
 * @property {string | undefined} id
 * @property {boolean} acknowledged
 * @property {boolean} finished
 * @property {number} step the last checkpoint that was acknowledged
 * @property {Report[]} reports
 */

/** One report that was taken. @typedef {{ sender: string, envelope: Heading }} Report */

/**
 * What is kept of an envelope.
 * @typedef {object} Heading
 * @property {string} outcome
 * @property {number | undefined} step
 * @property {readonly string[]} faults
 */

/**
 * The sums of a ledger. Every acknowledged job is in one of `finished`, `byProcess`, `bySurvivor` and `lost`.
 * @typedef {object} Sums
 * @property {number} jobs acknowledged
 * @property {number} finished and not reported
 * @property {number} byProcess reported by the process itself
 * @property {number} bySurvivor reported by another one
 * @property {number} lost acknowledged, not finished, reported by nobody
 * @property {number} duplicates reports beyond the first of a job
 * @property {number} surplus reports of jobs that were about to be finished, or never acknowledged
 * @property {number} wrong reports that say something else than the job
 * @property {string[]} findings the first of what is lost or wrong
 */

const MOST_FINDINGS = 5;

/** Outside of all processes: which jobs were acknowledged, which were finished, which were reported by whom. */
export class Ledger {
  /** @type {Map<string, { sender: string | undefined, jobs: Map<number, Entry> }>} */
  #instances = new Map();
  #missing = 0;
  #keepsCheckpoints;

  /** @param {{ keepsCheckpoints: boolean }} store whether a checkpoint that has returned survives its process */
  constructor({ keepsCheckpoints }) {
    this.#keepsCheckpoints = keepsCheckpoints;
  }

  /** How many jobs were acknowledged, not finished, and not reported so far. */
  get missing() {
    return this.#missing;
  }

  /** A line of a process's pipe; see service.js. @param {string} sender @param {string} line */
  note(sender, line) {
    const [fact, instanceId = '', nr] = line.split(' ', 3);
    if (fact === 'r') this.#instance(instanceId).sender = sender;
    if (nr === undefined) return;
    const entry = this.#entry(instanceId, Number(nr));
    const value = line.split(' ').slice(3).join(' ');
    const before = isMissing(entry);
    if (fact === 'b') Object.assign(entry, { acknowledged: true, id: JSON.parse(value) });
    else if (fact === 'c') entry.step = Number(value);
    else if (fact === 'f') entry.finished = true;
    this.#missing += Number(isMissing(entry)) - Number(before);
  }

  /** A report that somebody has taken. @param {string} sender whose path it came on, or who wrote it @param {any} envelope */
  report(sender, envelope) {
    const { instanceId, nr } = addressOf(envelope);
    const entry = this.#entry(instanceId, nr ?? this.#latest(instanceId, envelope?.subject));
    const before = isMissing(entry);
    const heading = {
      outcome: String(envelope?.data?.outcome),
      step: envelope?.data?.progress?.step,
      faults: faultsOf(envelope, entry),
    };
    entry.reports.push({ sender, envelope: heading });
    this.#missing += Number(isMissing(entry)) - Number(before);
  }

  /** @returns {Sums} */
  sums() {
    const sums = {
      ...{ jobs: 0, finished: 0, byProcess: 0, bySurvivor: 0, lost: 0, duplicates: 0, surplus: 0, wrong: 0 },
      findings: /** @type {string[]} */ ([]),
    };
    for (const { sender, jobs } of this.#instances.values()) {
      for (const entry of jobs.values()) this.#addUp(sums, entry, sender);
    }
    sums.findings.length = Math.min(sums.findings.length, MOST_FINDINGS);
    return sums;
  }

  /** @param {Sums} sums @param {Entry} entry @param {string | undefined} owner */
  #addUp(sums, entry, owner) {
    const { acknowledged, finished, reports } = entry;
    const [first] = reports;
    const what = `job ${entry.nr} ${show(entry.id)} of ${owner ?? 'nobody'} (${entry.instanceId})`;
    sums.duplicates += Math.max(0, reports.length - 1);
    for (const report of reports) {
      const faults = this.#faultsOf(report, entry, owner);
      if (faults.length === 0) continue;
      sums.wrong += 1;
      sums.findings.push(`${what}, reported by ${report.sender}: ${faults.join(', ')}`);
    }
    if (first !== undefined && (finished || !acknowledged)) sums.surplus += 1;
    if (!acknowledged) return;
    sums.jobs += 1;
    if (first !== undefined) sums[first.sender === owner ? 'byProcess' : 'bySurvivor'] += 1;
    else if (finished) sums.finished += 1;
    else {
      sums.lost += 1;
      sums.findings.push(`${what} is lost`);
    }
  }

  /** @param {Report} report @param {Entry} entry @param {string | undefined} owner */
  #faultsOf({ sender, envelope }, { id, acknowledged, step }, owner) {
    const own = sender === owner;
    const faults = [...envelope.faults];
    if (id === undefined && acknowledged) faults.push('its id is unknown');
    const outcomes = own ? ['interrupted', 'timed-out'] : ['interrupted', 'lost'];
    if (!outcomes.includes(envelope.outcome)) faults.push(`its outcome is ${envelope.outcome}`);
    if ((own || this.#keepsCheckpoints) && (envelope.step ?? 0) < step)
      faults.push(`it stands at checkpoint ${envelope.step ?? 0} of ${step}`);
    return faults;
  }

  /** @param {string} instanceId */
  #instance(instanceId) {
    const known = this.#instances.get(instanceId);
    if (known !== undefined) return known;
    const instance = { sender: undefined, jobs: new Map() };
    this.#instances.set(instanceId, instance);
    return instance;
  }

  /** @param {string} instanceId @param {number} nr @returns {Entry} */
  #entry(instanceId, nr) {
    const { jobs } = this.#instance(instanceId);
    const known = jobs.get(nr);
    if (known !== undefined) return known;
    const entry = {
      ...{ instanceId, nr, id: undefined, acknowledged: false, finished: false, step: 0 },
      reports: [],
    };
    jobs.set(nr, entry);
    return entry;
  }

  /** The last job of that id: for a report whose payload is lost. @param {string} instanceId @param {string} id */
  #latest(instanceId, id) {
    const jobs = [...this.#instance(instanceId).jobs.values()];
    return jobs.findLast((entry) => entry.id === id)?.nr ?? 0;
  }
}

/** @param {Entry} entry */
function isMissing({ acknowledged, finished, reports }) {
  return acknowledged && !finished && reports.length === 0;
}

/** @param {any} envelope @returns {{ instanceId: string, nr: number | undefined }} */
function addressOf(envelope) {
  const nr = envelope?.data?.payload?.nr;
  return {
    instanceId: String(envelope?.id).slice(0, 12),
    nr: Number.isInteger(nr) ? nr : undefined,
  };
}

/** What is wrong with it, whoever sent it. @param {any} envelope @param {Entry} entry */
function faultsOf(envelope, { instanceId, nr, id }) {
  const { data } = envelope ?? {};
  const rightForm =
    /^[0-9a-f]{12}$/.test(instanceId) && envelope?.id === `${instanceId}/${envelope?.subject}`;
  /** @type {[boolean, string][]} */
  const checks = [
    [rightForm, `its id is ${show(envelope?.id)}`],
    [id === undefined || envelope?.subject === id, `its subject is ${show(envelope?.subject)}`],
    [envelope?.specversion === '1.0', `its specversion is ${show(envelope?.specversion)}`],
    [envelope?.source === `/chaos/${instanceId}`, `its source is ${show(envelope?.source)}`],
    [data?.instanceId === instanceId, `its instance is ${show(data?.instanceId)}`],
    [isWhole(instanceId, data?.payload), `its payload is ${show(data?.payload)}`],
    [(data?.progress?.nr ?? nr) === nr, `its progress is ${show(data?.progress)}`],
  ];
  return checks.filter(([right]) => !right).map(([, fault]) => fault);
}

/** @param {unknown} value */
function show(value) {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

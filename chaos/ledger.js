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
 * @property {boolean} late it was finished when its process may have been reporting it already
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
 * The sums of a ledger. Every acknowledged job is in one of `finished`, `byProcess`, `bySurvivor` and `lost`, and those of
 * `surplus` are among the reported ones.
 * @typedef {object} Sums
 * @property {number} jobs acknowledged
 * @property {number} finished and not reported
 * @property {number} byProcess reported by the process itself
 * @property {number} bySurvivor reported by another one
 * @property {number} lost acknowledged, not finished, reported by nobody
 * @property {number} duplicates reports beyond the first of a job
 * @property {number} surplus finished, and reported all the same
 * @property {number} unacknowledged reported, and begun by a process that died before it could say so
 * @property {number} wrong reports that say something else than the job, and those of finished jobs beyond what a death explains
 * @property {string[]} findings the first of what is lost or wrong
 */

const MOST_FINDINGS = 5;

/**
 * What a kind of store is held to.
 * @typedef {object} Standards
 * @property {boolean} keepsCheckpoints one that has returned survives its process
 * @property {number} mostSurplus so many jobs of one process may be reported that it had finished: death came in between
 */

/** Outside of all processes: which jobs were acknowledged, which were finished, which were reported by whom. */
export class Ledger {
  /** @type {Map<string, { sender: string | undefined, jobs: Map<number, Entry> }>} */
  #instances = new Map();
  #missing = 0;
  #standards;

  /** @param {Standards} standards */
  constructor(standards) {
    this.#standards = standards;
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
    else if (fact === 'f') Object.assign(entry, { finished: true, late: value === 'late' });
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
      ...{ jobs: 0, finished: 0, byProcess: 0, bySurvivor: 0, lost: 0 },
      ...{ duplicates: 0, surplus: 0, unacknowledged: 0, wrong: 0 },
      findings: /** @type {string[]} */ ([]),
    };
    for (const [instanceId, { sender, jobs }] of this.#instances) {
      const entries = [...jobs.values()];
      for (const entry of entries) this.#addUp(sums, entry, sender);
      const surplus = entries.filter((entry) => isSurplus(entry, sender));
      this.#judgeSurplus(sums, surplus, `${sender ?? 'nobody'} (${instanceId})`);
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
    if (!acknowledged) {
      if (first !== undefined) sums.unacknowledged += 1;
      return;
    }
    sums.jobs += 1;
    if (isSurplus(entry, owner)) sums.surplus += 1;
    if (first !== undefined) sums[first.sender === owner ? 'byProcess' : 'bySurvivor'] += 1;
    else if (finished) sums.finished += 1;
    else {
      sums.lost += 1;
      sums.findings.push(`${what} is lost`);
    }
  }

  /** @param {Sums} sums @param {readonly Entry[]} surplus of one process @param {string} process */
  #judgeSurplus(sums, surplus, process) {
    const beyond = surplus.length - this.#standards.mostSurplus;
    if (beyond <= 0) return;
    sums.wrong += beyond;
    const which = surplus
      .slice(0, MOST_FINDINGS)
      .map(({ nr, id, reports }) => `${nr} ${show(id)} by ${reports[0]?.sender}`);
    sums.findings.push(
      `${surplus.length} jobs of ${process} were finished, and reported all the same: ${which.join(', ')}`,
    );
  }

  /** @param {Report} report @param {Entry} entry @param {string | undefined} owner */
  #faultsOf({ sender, envelope }, { id, acknowledged, step }, owner) {
    const own = sender === owner;
    const faults = [...envelope.faults];
    if (id === undefined && acknowledged) faults.push('its id is unknown');
    const outcomes = own ? ['interrupted', 'timed-out'] : ['interrupted', 'lost'];
    if (!outcomes.includes(envelope.outcome)) faults.push(`its outcome is ${envelope.outcome}`);
    if ((own || this.#standards.keepsCheckpoints) && (envelope.step ?? 0) < step)
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
      ...{ instanceId, nr, id: undefined, acknowledged: false, finished: false, late: false, step: 0 },
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

/**
 * Finished, and reported all the same: by another process, or by its own before that may have begun to report.
 * @param {Entry} entry @param {string | undefined} owner
 */
function isSurplus({ finished, late, reports }, owner) {
  return finished && reports.some(({ sender }) => !late || sender !== owner);
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

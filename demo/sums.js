// @ts-check

/** @typedef {import('./ledger.js').Entry} Entry */

/**
 * What the three processes wrote down, and what run.js saw of B's end.
 * @typedef {object} Books
 * @property {Entry[]} load      A: posted, answered, dropped
 * @property {Entry[]} service   B: begun, finished, and its ShutdownReport
 * @property {Entry[]} agent     C: reported, refused
 * @property {number} signalledAt
 * @property {{ code: number | null, signal: NodeJS.Signals | null, at: number }} gone
 * @property {number} graceMs    from the SIGTERM to the SIGKILL
 * @property {number} forgedStatus  what C answered to a report that was not signed with the secret
 */

/** @typedef {{ right: boolean, claim: string, figures: string }} Check */

const LEAST = 20;

/**
 * Compares the books by job.
 * @param {Books} books
 */
export function addUp({ load, service, agent, signalledAt, gone, graceMs, forgedStatus }) {
  const ids = (/** @type {Entry[]} */ ledger, /** @type {string} */ event) =>
    ledger.filter((entry) => entry.event === event).map(({ job }) => String(job));
  const posted = ids(load, 'posted');
  const begun = ids(service, 'begun');
  const finished = new Set(ids(service, 'finished'));
  const reports = ids(agent, 'reported');
  const reported = new Set(reports);
  const answers = load.filter(({ event }) => event === 'answered');
  const dropped = load.filter(({ event }) => event === 'dropped');
  return {
    posted,
    begun,
    finished,
    reported,
    answers,
    dropped,
    graceMs,
    gone,
    forgedStatus,
    lost: begun.filter((id) => !finished.has(id) && !reported.has(id)),
    repeated: reports.length - reported.size,
    both: [...finished].filter((id) => reported.has(id)),
    finishedBefore: service.filter(({ event, at }) => event === 'finished' && at < signalledAt).length,
    unanswered: posted.filter((id) => answers.filter(({ job }) => job === id).length !== 1),
    acceptedAt: new Map(agent.filter(({ event }) => event === 'reported').map(({ job, at }) => [job, at])),
    report: service.find(({ event }) => event === 'report')?.report,
    goneAfterMs: gone.at - signalledAt,
    inBacklog: load.find(({ event }) => event === 'late-on-its-way')?.fresh ?? 0,
  };
}

/** @typedef {ReturnType<typeof addUp>} Sums */

/**
 * Everything the demo promises, each with its figures.
 * @param {Sums} sums
 * @returns {Check[]}
 */
export function check(sums) {
  return [...checkJobs(sums), ...checkRequests(sums), ...checkEnd(sums)];
}

/** @param {Sums} sums @returns {Check[]} */
function checkJobs({ begun, finished, reported, lost, finishedBefore, report }) {
  const incomplete = report?.jobs.incomplete;
  const told = finished.size + reported.size;
  return [
    {
      claim: 'the SIGTERM came in the middle',
      right: finishedBefore >= LEAST && reported.size >= LEAST,
      figures: `${finishedBefore} finished before it, ${reported.size} reported after it; at least ${LEAST} each`,
    },
    {
      claim: 'begun = finished + reported',
      right: begun.length === told,
      figures: `${begun.length} ${begun.length === told ? '=' : '≠'} ${finished.size} + ${reported.size}`,
    },
    { claim: 'no job is lost', right: lost.length === 0, figures: countOf(lost) },
    {
      claim: "B's own report agrees with C",
      right: incomplete === reported.size && report?.jobs.delivered === incomplete,
      figures: report
        ? `${incomplete} incomplete, ${report.jobs.delivered} delivered, ${reported.size} at C`
        : 'B left no report',
    },
  ];
}

/** @param {Sums} sums @returns {Check[]} */
function checkRequests({ posted, answers, dropped, unanswered, finished, reported, acceptedAt }) {
  const untrue = answers.filter(({ job, status }) => !(status === 201 ? finished : reported).has(job));
  const early = answers.filter(
    ({ job, status, at }) => status === 200 && !(at > (acceptedAt.get(job) ?? Number.POSITIVE_INFINITY)),
  );
  const jobsOf = (/** @type {Entry[]} */ entries) => entries.map(({ job }) => String(job));
  return [
    {
      claim: 'every request got one answer',
      right: unanswered.length === 0,
      figures: unanswered.length === 0 ? `${answers.length} of ${posted.length}` : `not ${some(unanswered)}`,
    },
    {
      claim: 'no request was dropped',
      right: dropped.length === 0,
      figures: countOf(dropped.map(({ job, why }) => `${job} ${why}`)),
    },
    {
      claim: 'every answer is true',
      right: untrue.length === 0,
      figures:
        untrue.length === 0 ? '201 only for finished jobs, 200 only for reported ones' : some(jobsOf(untrue)),
    },
    {
      claim: 'no 200 before C had the report',
      right: early.length === 0,
      figures: countOf(jobsOf(early)),
    },
  ];
}

/** @param {Sums} sums @returns {Check[]} */
function checkEnd({ forgedStatus, gone, goneAfterMs, graceMs }) {
  const how = gone.signal === null ? `exit code ${gone.code}` : `ended by ${gone.signal}`;
  return [
    { claim: 'C refused the forged report', right: forgedStatus === 401, figures: String(forgedStatus) },
    {
      claim: `B was gone before ${graceMs / 1000} s`,
      right: gone.code === 0 && goneAfterMs < graceMs,
      figures: `${(goneAfterMs / 1000).toFixed(2)} s after the SIGTERM, ${how}`,
    },
  ];
}

/** @param {string[]} ids */
function countOf(ids) {
  return ids.length === 0 ? '0' : `${ids.length} (${some(ids)})`;
}

/** @param {string[]} ids */
function some(ids) {
  const more = ids.length > 2 ? ` and ${ids.length - 2} more` : '';
  return ids.slice(0, 2).join(', ') + more;
}

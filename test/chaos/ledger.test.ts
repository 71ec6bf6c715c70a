import { describe, expect, it } from 'vitest';
import type { Envelope } from '../../src/index.js';

// Plain JavaScript, whose types are checked in its own place.
const load = (file: string) => import(new URL(`../../chaos/${file}`, import.meta.url).href);
const { Ledger } = await load('ledger.js');
const { makePayload } = await load('payload.js');
const { Random } = await load('random.js');

const INSTANCE = '0123456789ab';
const OWNER = 'trial-1';
const SURVIVOR = 'survivor-0';

interface Change {
  readonly progress?: unknown;
  readonly outcome?: string;
  readonly payload?: unknown;
  readonly heading?: Partial<Envelope>;
}

function report(nr: number, id: string, { heading, ...data }: Change = {}) {
  return {
    specversion: '1.0',
    id: `${INSTANCE}/${id}`,
    source: `/chaos/${INSTANCE}`,
    subject: id,
    ...heading,
    data: {
      instanceId: INSTANCE,
      payload: makePayload(INSTANCE, nr, new Random('payload')),
      progress: null,
      outcome: 'interrupted',
      ...data,
    },
  };
}

const STRICT = { keepsCheckpoints: true, mostSurplus: 1 };

function ledgerWith(lines: readonly string[], standards = STRICT) {
  const ledger = new Ledger(standards);
  ledger.note(OWNER, `r ${INSTANCE}`);
  for (const line of lines) ledger.note(OWNER, line.replace('@', INSTANCE));
  return ledger;
}

const nothing = {
  ...{ jobs: 0, finished: 0, byProcess: 0, bySurvivor: 0, lost: 0 },
  ...{ duplicates: 0, surplus: 0, unacknowledged: 0, wrong: 0 },
  findings: [],
};

describe('the ledger', () => {
  it('knows nothing of a process that began no job', () => {
    expect(ledgerWith([]).sums()).toEqual(nothing);
  });

  it('finds the job that was acknowledged and neither finished nor reported, and names it', () => {
    const ledger = ledgerWith(['b @ 1 "a"', 'b @ 2 "b"', 'b @ 3 "c"', 'f @ 1']);
    ledger.report(OWNER, report(2, 'b'));
    expect(ledger.missing).toBe(1);
    expect(ledger.sums()).toEqual({
      ...nothing,
      ...{ jobs: 3, finished: 1, byProcess: 1, lost: 1 },
      findings: [`job 3 "c" of ${OWNER} (${INSTANCE}) is lost`],
    });
  });

  it('tells a report by the process itself from one by a survivor', () => {
    const ledger = ledgerWith(['b @ 1 "a"', 'b @ 2 "b"']);
    ledger.report(OWNER, report(1, 'a', { outcome: 'timed-out' }));
    ledger.report(SURVIVOR, report(2, 'b', { outcome: 'lost' }));
    expect([ledger.missing, ledger.sums()]).toEqual([
      0,
      { ...nothing, jobs: 2, byProcess: 1, bySurvivor: 1 },
    ]);
  });

  it('does not depend on who is read first, the pipe or the report', () => {
    const ledger = new Ledger(STRICT);
    ledger.report(SURVIVOR, report(1, 'a', { outcome: 'lost' }));
    for (const line of [`r ${INSTANCE}`, `b ${INSTANCE} 1 "a"`]) ledger.note(OWNER, line);
    expect(ledger.sums()).toEqual({ ...nothing, jobs: 1, bySurvivor: 1 });
  });

  it('counts the second report of a job as a duplicate', () => {
    const ledger = ledgerWith(['b @ 1 "a"']);
    for (const sender of [OWNER, SURVIVOR, SURVIVOR]) ledger.report(sender, report(1, 'a'));
    expect(ledger.sums()).toEqual({ ...nothing, jobs: 1, byProcess: 1, duplicates: 2 });
  });

  it('counts the report of a job that was about to be finished as a surplus and no loss', () => {
    const ledger = ledgerWith(['b @ 1 "a"', 'f @ 1']);
    ledger.report(SURVIVOR, report(1, 'a', { outcome: 'lost' }));
    expect(ledger.sums()).toEqual({ ...nothing, jobs: 1, bySurvivor: 1, surplus: 1 });
  });

  it('counts those of jobs that were never acknowledged apart: many may be on their way to Redis', () => {
    const ledger = ledgerWith([]);
    for (const nr of [1, 2, 3]) ledger.report(SURVIVOR, report(nr, `never-${nr}`, { outcome: 'lost' }));
    expect(ledger.sums()).toEqual({ ...nothing, unacknowledged: 3 });
  });

  it('keeps two jobs apart that had the same id one after the other', () => {
    const ledger = ledgerWith(['b @ 1 "a"', 'f @ 1', 'b @ 2 "a"']);
    expect(ledger.missing).toBe(1);
    ledger.report(OWNER, report(2, 'a'));
    expect(ledger.sums()).toEqual({ ...nothing, jobs: 2, finished: 1, byProcess: 1 });
  });

  it.each(['with spaces in it', 'line\nbreak', '\ud800', '__proto__', `${INSTANCE}/x`, '"'])(
    'reads the id %j back',
    (id) => {
      const ledger = ledgerWith([`b @ 1 ${JSON.stringify(id)}`]);
      ledger.report(OWNER, report(1, id));
      expect(ledger.sums()).toEqual({ ...nothing, jobs: 1, byProcess: 1 });
    },
  );
});

describe('a report is wrong', () => {
  const other = makePayload('ffffffffffff', 1, new Random('payload'));
  const { nr, body, sum } = makePayload(INSTANCE, 1, new Random('payload'));
  it.each([
    ['without its payload', { payload: null }],
    ['with the payload of another process', { payload: other }],
    ['with a payload that was cut off', { payload: { nr, body: body.slice(0, -1), sum } }],
    ['with the progress of another job', { progress: { nr: 2, step: 9 } }],
    ['from before the last checkpoint', { progress: { nr: 1, step: 1 } }],
    ['without the progress that was acknowledged', { progress: null }],
    ['with an id of another form', { heading: { id: `${INSTANCE}-a` } }],
    ['with the subject of another job', { heading: { id: `${INSTANCE}/b`, subject: 'b' } }],
    ['with another source', { heading: { source: '/chaos/ffffffffffff' } }],
    ['of another version', { heading: { specversion: '2.0' as '1.0' } }],
    ['that calls the living lost', { outcome: 'lost' }],
  ] satisfies [string, Change][])('%s', (_what, change) => {
    const ledger = ledgerWith(['b @ 1 "a"', 'c @ 1 1', 'c @ 1 2']);
    ledger.report(OWNER, report(1, 'a', { progress: { nr: 1, step: 2 }, ...change }));
    expect(ledger.sums()).toMatchObject({ lost: 0, wrong: 1, findings: [expect.stringContaining('job 1')] });
  });

  it('not when it stands at a later checkpoint, whose acknowledgement the kill has cut off', () => {
    const ledger = ledgerWith(['b @ 1 "a"', 'c @ 1 1']);
    ledger.report(SURVIVOR, report(1, 'a', { outcome: 'lost', progress: { nr: 1, step: 2 } }));
    expect(ledger.sums().wrong).toBe(0);
  });

  it('not when a survivor has an older checkpoint from a store that acknowledges none, but the process itself is held to it', () => {
    const old = { progress: { nr: 1, step: 1 } };
    const wrongBy = (sender: string) => {
      const ledger = ledgerWith(['b @ 1 "a"', 'c @ 1 2'], { ...STRICT, keepsCheckpoints: false });
      ledger.report(sender, report(1, 'a', old));
      return ledger.sums().wrong;
    };
    expect([SURVIVOR, OWNER].map(wrongBy)).toEqual([0, 1]);
  });
});

describe('a finished job that is reported', () => {
  /** So many jobs of one process were finished, and reported. */
  function finishedAndReported(count: number, { fact = 'f @ #', sender = SURVIVOR, mostSurplus = 1 } = {}) {
    const numbers = Array.from({ length: count }, (_, index) => index + 1);
    const lines = numbers.flatMap((nr) => [`b @ ${nr} "job-${nr}"`, fact.replace('#', String(nr))]);
    const ledger = ledgerWith(lines, { ...STRICT, mostSurplus });
    for (const nr of numbers) ledger.report(sender, report(nr, `job-${nr}`));
    return ledger.sums();
  }

  it.each([SURVIVOR, OWNER])(
    'is wrong when it is the second of its process, whoever reports it: %s',
    (sender) => {
      expect(finishedAndReported(1, { sender })).toMatchObject({ surplus: 1, wrong: 0, findings: [] });
      const names = `1 "job-1" by ${sender}, 2 "job-2" by ${sender}`;
      expect(finishedAndReported(2, { sender })).toMatchObject({
        ...{ jobs: 2, lost: 0, surplus: 2, wrong: 1 },
        findings: [`2 jobs of ${OWNER} (${INSTANCE}) were finished, and reported all the same: ${names}`],
      });
    },
  );

  it('is wrong from where its store draws the line', () => {
    const wrong = (count: number) => finishedAndReported(count, { mostSurplus: 3 }).wrong;
    expect([3, 4, 6].map(wrong)).toEqual([0, 1, 3]);
  });

  it('is counted for each process apart', () => {
    const ledger = new Ledger(STRICT);
    for (const [instance, owner] of [
      [INSTANCE, OWNER],
      ['ffffffffffff', 'trial-2'],
    ] as const) {
      for (const line of [`r ${instance}`, `b ${instance} 1 "a"`, `f ${instance} 1`])
        ledger.note(owner, line);
      const { data, ...heading } = report(1, 'a');
      const payload = makePayload(instance, 1, new Random('payload'));
      ledger.report(SURVIVOR, {
        ...heading,
        ...{ id: `${instance}/a`, source: `/chaos/${instance}` },
        data: { ...data, instanceId: instance, payload },
      });
    }
    expect(ledger.sums()).toMatchObject({ jobs: 2, surplus: 2, wrong: 0 });
  });

  it('is none when its own process was reporting already; another one has no such excuse', () => {
    const late = { fact: 'f @ # late' };
    expect(finishedAndReported(3, { ...late, sender: OWNER })).toEqual({ ...nothing, jobs: 3, byProcess: 3 });
    expect(finishedAndReported(3, late)).toMatchObject({ surplus: 3, wrong: 2 });
  });
});

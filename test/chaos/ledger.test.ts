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

function ledgerWith(lines: readonly string[], store = { keepsCheckpoints: true }) {
  const ledger = new Ledger(store);
  ledger.note(OWNER, `r ${INSTANCE}`);
  for (const line of lines) ledger.note(OWNER, line.replace('@', INSTANCE));
  return ledger;
}

const nothing = {
  ...{ jobs: 0, finished: 0, byProcess: 0, bySurvivor: 0, lost: 0, duplicates: 0, surplus: 0, wrong: 0 },
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
    const ledger = new Ledger({ keepsCheckpoints: true });
    ledger.report(SURVIVOR, report(1, 'a', { outcome: 'lost' }));
    for (const line of [`r ${INSTANCE}`, `b ${INSTANCE} 1 "a"`]) ledger.note(OWNER, line);
    expect(ledger.sums()).toEqual({ ...nothing, jobs: 1, bySurvivor: 1 });
  });

  it('counts the second report of a job as a duplicate', () => {
    const ledger = ledgerWith(['b @ 1 "a"']);
    for (const sender of [OWNER, SURVIVOR, SURVIVOR]) ledger.report(sender, report(1, 'a'));
    expect(ledger.sums()).toEqual({ ...nothing, jobs: 1, byProcess: 1, duplicates: 2 });
  });

  it('counts the report of a job that was about to be finished, or never acknowledged, as a surplus and no loss', () => {
    const ledger = ledgerWith(['b @ 1 "a"', 'f @ 1']);
    ledger.report(SURVIVOR, report(1, 'a', { outcome: 'lost' }));
    ledger.report(SURVIVOR, report(2, 'never', { outcome: 'lost' }));
    expect(ledger.sums()).toEqual({ ...nothing, jobs: 1, bySurvivor: 1, surplus: 2 });
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
      const ledger = ledgerWith(['b @ 1 "a"', 'c @ 1 2'], { keepsCheckpoints: false });
      ledger.report(sender, report(1, 'a', old));
      return ledger.sums().wrong;
    };
    expect([SURVIVOR, OWNER].map(wrongBy)).toEqual([0, 1]);
  });
});

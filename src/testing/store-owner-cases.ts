import assert from 'node:assert/strict';
import type { StoreOwnership } from '../store.js';
import type { StoreCase } from './store-conformance.js';
import type { Tenant } from './store-tenant.js';
import { newName, type Trial } from './store-trial.js';

const SEVERAL = 20;

/** Who owns a name, and until when. */
export const ownerCases: readonly StoreCase[] = [
  {
    id: 'S32',
    title: 'of several who ask for a name at the same time, one becomes its owner, and nobody after it',
    uses: 'own',
    run: async (trial) => {
      const tenants = [await trial.tenant(), await trial.tenant(), await trial.tenant()];
      for (let round = 0; round < SEVERAL; round += 1) {
        const name = newName();
        const answers = await Promise.all([...tenants, ...tenants].map((tenant) => ask(tenant, name)));
        const owners = answers.filter((answer) => answer !== undefined);
        assert.equal(
          owners.length,
          1,
          `${owners.length} of 6 who asked became the owner; decide in one step`,
        );
        for (const tenant of tenants) await mustBeTaken(tenant, name);
      }
    },
  },
  {
    id: 'S33',
    title: 'a name that was released is free, and other names were all along',
    uses: 'own',
    run: async (trial) => {
      const [first, second] = [await trial.tenant(), await trial.tenant()];
      const [name, other] = [newName(), newName()];
      const ownership = await mustOwn(trial, first, name);
      await mustOwn(trial, second, other);
      await ownership.release();
      await mustOwn(trial, second, name);
    },
  },
  {
    id: 'S34',
    title: 'a release that comes again takes nothing from the next owner',
    uses: 'own',
    run: async (trial) => {
      const [owner, other] = [await trial.tenant(), await trial.tenant()];
      const name = newName();
      const former = await mustOwn(trial, owner, name);
      await former.release();
      const present = await mustOwn(trial, owner, name);
      await former.release();
      await mustBeTaken(other, name);
      assert.equal(present.signal.aborted, false, 'the next owner lost the name by it');
    },
  },
  {
    id: 'S35',
    title: 'the name of a process that was killed goes to another one',
    needs: 'abandon',
    uses: 'own',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const name = newName();
      await trial.abandon({ do: 'own', name });
      await mustOwn(trial, survivor, name);
    },
  },
  {
    id: 'S36',
    title: 'the name of a process that was killed goes to one only, however many ask',
    needs: 'abandon',
    uses: 'own',
    run: async (trial) => {
      const tenants = [await trial.tenant(), await trial.tenant(), await trial.tenant()];
      for (let death = 0; death < 3; death += 1) {
        const name = newName();
        await trial.abandon({ do: 'own', name });
        const owners: StoreOwnership[] = [];
        const endsAt = performance.now() + trial.patienceMs;
        while (owners.length === 0 && performance.now() < endsAt) {
          const answers = await Promise.all(tenants.map((tenant) => ask(tenant, name)));
          owners.push(...answers.filter((answer) => answer !== undefined));
        }
        assert.ok(owners.length <= 1, `${owners.length} took over from one; look and take in one step`);
      }
    },
  },
  {
    id: 'S37',
    title: 'close gives up what is owned',
    uses: 'own',
    run: async (trial) => {
      const [first, second] = [await trial.tenant(), await trial.tenant()];
      const name = newName();
      await mustOwn(trial, first, name);
      await first.close();
      await mustOwn(trial, second, name);
    },
  },
  {
    id: 'S38',
    title: 'an owner is told when it is none any more, and not before',
    uses: 'own',
    run: async (trial) => {
      const tenant = await trial.tenant();
      const released = await mustOwn(trial, tenant, newName());
      const closed = await mustOwn(trial, tenant, newName());
      const isOver = () => [released, closed].map(({ signal }) => signal.aborted);
      assert.deepEqual(isOver(), [false, false], 'an ownership was over before its end');
      await released.release();
      assert.deepEqual(isOver(), [true, false], 'release aborts its own signal, and no other one');
      await tenant.close();
      assert.deepEqual(isOver(), [true, true], 'close aborts the signals of all it gives up');
    },
  },
  {
    id: 'S39',
    title: 'an owner whose heart stops is told before another one gets the name, if that is a sign of death',
    uses: 'own',
    run: async (trial) => {
      const [silent, other] = [await trial.tenant(), await trial.tenant()];
      const name = newName();
      const { signal } = await mustOwn(trial, silent, name);
      silent.fallSilent();
      const next = await other.waitToOwn(name, trial.patienceMs);
      assert.ok(next === undefined || signal.aborted, 'two own the same name; tell the first one in time');
    },
  },
  {
    id: 'S40',
    title: 'whoever takes over from a dead owner is told so, and whoever takes what was given up is not',
    needs: 'abandon',
    uses: 'own',
    run: async (trial) => {
      const tenant = await trial.tenant();
      const name = newName();
      await trial.abandon({ do: 'own', name });
      // Whether anybody gets it is the business of another case.
      const inherited = await tenant.waitToOwn(name, trial.patienceMs);
      if (inherited === undefined) return;
      assert.ok(Number(inherited.deadMs) >= 0, 'say by `deadMs` for how long its owner has been dead');
      // Of the same name it may still say so: what the dead one had started is not over because its heir is.
      await inherited.release();
      const other = newName();
      await (await mustOwn(trial, tenant, other)).release();
      const given = await mustOwn(trial, tenant, other);
      assert.equal(given.deadMs, undefined, 'nobody died with the name');
    },
  },
];

function ask({ store }: Tenant, name: string): Promise<StoreOwnership | undefined> {
  assert.ok(store.own, 'it has no `own`; if it is to have none, list it in what the store lacks');
  return store.own(name);
}

async function mustOwn({ patienceMs }: Trial, tenant: Tenant, name: string): Promise<StoreOwnership> {
  const ownership = (await ask(tenant, name)) ?? (await tenant.waitToOwn(name, patienceMs));
  assert.ok(ownership, `nobody owns the name any more, and nobody got it in ${patienceMs} ms`);
  return ownership;
}

async function mustBeTaken(tenant: Tenant, name: string): Promise<void> {
  assert.equal(
    await ask(tenant, name),
    undefined,
    'a name was given to somebody else while its owner has it',
  );
}

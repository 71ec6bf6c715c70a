import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { envelopeIdOf } from '../../src/envelope.js';
import type { Orphan } from '../../src/store.js';
import { startRedis } from '../far-ends/redis.js';
import { evalsOf, RedisPlace } from './redis-place.js';

vi.setConfig({ testTimeout: 60_000 });

const server = await startRedis();
afterAll(server.stop);

let place: RedisPlace;
let admin: Redis;
let warnings: string[];
beforeEach(() => {
  place = new RedisPlace(server.port);
  admin = place.client();
  warnings = [];
});
afterEach(async () => {
  await admin.flushall();
  await place.end();
});

const [BAD, GOOD] = ['bbbbbbbbbbbb', 'cccccccccccc'];
const keyOf = (part: string, instanceId = BAD) => `shutdown-bus:{${instanceId}}:${part}`;
const idsOf = (orphans: readonly Orphan[]) =>
  orphans.map(({ instanceId, key }) => envelopeIdOf(instanceId, key));

/** Dead instances with these jobs each, or with jobs that the test writes. */
async function leave(instanceId: string, ...fields: (string | Buffer)[]): Promise<void> {
  for (const field of fields) await admin.hset(keyOf('jobs', instanceId), field, 'a record');
  await admin.zadd('shutdown-bus:instances', 1, instanceId);
}

/** Delivers whatever can be claimed, until there is nothing more. */
async function deliverAll(claims = place.claimer(warnings)): Promise<string[]> {
  const delivered: string[] = [];
  for (let look = 0; look < 20; look += 1) {
    const orphans = await claims.claim();
    if (orphans.length === 0) return delivered.sort();
    delivered.push(...idsOf(orphans));
    await claims.settle(idsOf(orphans), 'delivered');
  }
  throw new Error(`there is no end to it: ${delivered.slice(-3)}`);
}

describe('a field that is no UTF-8', () => {
  it('is set aside and told of once, whatever it is among; nothing else is left', async () => {
    const strange = Buffer.from('k\xff', 'latin1');
    await leave(BAD, 'a', strange, 'z');
    await leave(GOOD, 'a');
    expect(await deliverAll()).toEqual([`${BAD}/a`, `${BAD}/z`, `${GOOD}/a`]);
    expect(warnings).toEqual([
      `1 jobs of instance ${BAD} are not reported, but set aside in ${keyOf('aside')}: their keys are no UTF-8, so none of us wrote them`,
    ]);
    expect(await admin.keys('*')).toEqual([keyOf('aside')]);
    expect((await admin.hkeysBuffer(keyOf('aside'))).map(String)).toEqual([strange.toString()]);
    expect(await admin.hget(keyOf('aside'), strange)).toBe('{"record":"a record"}');
  });

  it('alone, the instance is gone with it', async () => {
    await leave(BAD, Buffer.from([0xff]));
    expect(await deliverAll()).toEqual([]);
    expect(await admin.keys('*')).toEqual([keyOf('aside')]);
    expect(warnings).toHaveLength(1);
  });

  it('is told from one that is: by the same rules as Node has', async () => {
    const edges = [
      0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xec, 0xed, 0xee, 0xef,
    ];
    const longer = [0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff];
    const append = (heads: number[][], bytes: number[]) =>
      heads.flatMap((head) => bytes.map((byte) => [...head, byte]));
    const pairs = append(append([[]], [...edges, ...longer]), edges);
    const four = append(
      append(append([[0xf0], [0xf1], [0xf3], [0xf4], [0xf5]], edges.slice(1)), [0x80, 0xbf]),
      [0x80, 0xbf, 0xc2],
    );
    const fields = [...pairs, ...append(pairs, edges), ...four].map((bytes) => Buffer.from(bytes));
    const pipeline = admin.pipeline();
    for (const field of fields) pipeline.hset(keyOf('jobs'), field, 'a record');
    await pipeline.exec();
    await leave(BAD);
    const texts = fields.filter((field) => Buffer.from(field.toString()).equals(field)).map(String);
    expect(texts.length).toBeGreaterThan(100);
    expect(await deliverAll()).toEqual(texts.map((text) => `${BAD}/${text}`).sort());
    expect(await admin.hlen(keyOf('aside'))).toBe(fields.length - texts.length);
    expect(await admin.keys('*')).toEqual([keyOf('aside')]);
  });
});

describe('a field that was made of no key of ours', () => {
  it.each(['"abc', '"', '"a"', '"\\ud83d', '"1" ', '"\\u0061"'])(
    '%s is delivered like any other',
    async (field) => {
      // Both are the key `"a"`.
      await leave(BAD, 'before', field, '"\\"a\\""', 'behind');
      await leave(GOOD, 'a');
      const delivered = await deliverAll();
      expect(new Set(delivered)).toEqual(
        new Set([`${BAD}/${field}`, `${BAD}/"a"`, `${BAD}/before`, `${BAD}/behind`, `${GOOD}/a`]),
      );
      expect(await admin.keys('*')).toEqual([]);
      expect(warnings).toEqual([]);
    },
  );
});

describe('tries that are no number', () => {
  it.each(['abc', '', '-1', '1.5', 'nan', 'inf', '0x10', '99999999999999999999'])(
    '%s: counted from the beginning',
    async (tries) => {
      await leave(BAD, 'a', 'b');
      await admin.hset(keyOf('tries'), 'a', tries);
      const claims = place.claimer(warnings);
      const orphans = await claims.claim();
      expect(orphans.map(({ key, tries: now }) => [key, now]).sort()).toEqual([
        ['a', 1],
        ['b', 1],
      ]);
      await claims.settle(idsOf(orphans), 'untried');
      expect(await deliverAll(claims)).toEqual([`${BAD}/a`, `${BAD}/b`]);
      expect(await admin.keys('*')).toEqual([]);
    },
  );

  it('a number counts', async () => {
    await leave(BAD, 'a');
    await admin.hset(keyOf('tries'), 'a', '12');
    expect(await place.claimer().claim()).toMatchObject([{ key: 'a', tries: 13 }]);
  });
});

describe('keys that are something else than they should be', () => {
  it.each(['jobs', 'owner', 'tries', 'progress', 'claim'])(
    '%s: the instance is left out, told of once, and in nobody’s way',
    async (part) => {
      await leave(BAD, ...(part === 'jobs' ? [] : ['a']));
      await admin.del(keyOf(part));
      await (part === 'jobs' ? admin.set(keyOf(part), 'x') : admin.rpush(keyOf(part), 'x'));
      await leave(GOOD, 'a');
      const claims = place.claimer(warnings);
      expect(await deliverAll(claims)).toEqual([`${GOOD}/a`]);
      const before = await evalsOf(admin);
      for (let look = 0; look < 10; look += 1) expect(await claims.claim()).toEqual([]);
      // It is not even asked.
      expect(await evalsOf(admin)).toBe(before + 10);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatch(
        /^the jobs of instance bbbbbbbbbbbb are not reported: .*WRONGTYPE.*mend or delete them$/,
      );
      // Mended, it is found by the next one.
      await admin.del(keyOf(part));
      await leave(BAD, 'a');
      expect(await deliverAll()).toEqual([`${BAD}/a`]);
    },
  );

  it('what cannot be set aside is not claimed again, told of once, and holds up nothing that is settled after it', async () => {
    await leave(BAD, 'a');
    await leave(GOOD, 'a');
    await admin.set(keyOf('aside'), 'x');
    const claims = place.claimer(warnings);
    const found = [...(await claims.claim()), ...(await claims.claim())];
    expect(idsOf(found).sort()).toEqual([`${BAD}/a`, `${GOOD}/a`]);
    await claims.settle([`${BAD}/a`], 'aside');
    await claims.settle([`${GOOD}/a`], 'delivered');
    expect(await admin.exists(keyOf('jobs', GOOD))).toBe(0);
    await claims.settle([`${BAD}/a`], 'aside');
    expect(await claims.claim()).toEqual([]);
    expect(await admin.hkeys(keyOf('jobs'))).toEqual(['a']);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^what became of jobs of instance bbbbbbbbbbbb is not written: .*WRONGTYPE/);
  });
});

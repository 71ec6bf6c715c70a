import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Sealer } from '../../src/jobs/sealing.js';

const key = (id: string) => ({ id, secret: randomBytes(32) });

describe('a sealer', () => {
  const [old, fresh] = [key('2026a'), key('2026b')];

  it.each(['', 'x', '{"card":"4111"}', 'ü€😀'.repeat(10_000)])('opens what it sealed', (text) => {
    const sealer = new Sealer([fresh]);
    const sealed = sealer.seal(text, 'i/a');
    expect(sealer.open(sealed, 'i/a')).toBe(text);
    if (text.length > 3) expect(sealed).not.toContain(text.slice(0, 8));
  });

  it('never seals the same text to the same bytes', () => {
    const sealer = new Sealer([fresh]);
    expect(sealer.seal('x', 'i/a')).not.toBe(sealer.seal('x', 'i/a'));
  });

  it('the first key seals, the older ones still open', () => {
    const before = new Sealer([old]).seal('x', 'i/a');
    const both = new Sealer([fresh, old]);
    expect(both.open(before, 'i/a')).toBe('x');
    expect(both.seal('x', 'i/a')).toMatch(/^2026b\./);
  });

  it('names the key that is missing, and what to do', () => {
    const sealed = new Sealer([old]).seal('x', 'i/a');
    expect(() => new Sealer([fresh]).open(sealed, 'i/a')).toThrow(
      /key "2026a".*add it to SHUTDOWN_STORE_KEY/,
    );
  });

  it.each([
    ['another place', (sealed: string) => sealed, 'i/b'],
    [
      'a changed text',
      (sealed: string) => `${sealed.slice(0, -2)}${sealed.endsWith('AA') ? 'BB' : 'AA'}`,
      'i/a',
    ],
    ['a text cut off', (sealed: string) => sealed.slice(0, 20), 'i/a'],
  ])('does not open %s', (_what, change, place) => {
    const sealer = new Sealer([fresh]);
    expect(() => sealer.open(change(sealer.seal('a long enough text', 'i/a')), place)).toThrow(
      /changed since/,
    );
  });
});

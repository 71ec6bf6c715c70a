import { describe, expect, it } from 'vitest';
import { read, write } from '../../supervisor/messages.js';

const beat = { type: 'beat', requests: 3, isLoaded: true, isListening: true } as const;
const end = { type: 'end', signal: 'SIGTERM', isSucceeded: true, budgetMs: 500 } as const;

/** As it comes out of the channel between two processes. */
const sent = (message: unknown) => JSON.parse(JSON.stringify(message));

describe('what primary and workers say to each other', () => {
  it('arrives as it was sent', () => {
    expect(read('beat', sent(write(beat)))).toEqual(beat);
    expect(read('end', sent(write(end)))).toEqual(end);
  });

  it('is not taken for something else of ours', () => {
    expect(read('end', write(beat))).toBeUndefined();
    expect(read('beat', write(end))).toBeUndefined();
  });

  it.each([
    undefined,
    null,
    'ready',
    7,
    [],
    {},
    { type: 'beat' },
    { 'shutdown-bus': null },
    { 'shutdown-bus': 'end' },
  ])('is told from what an application says: %j', (message) => {
    expect([read('beat', message), read('end', message)]).toEqual([undefined, undefined]);
  });

  it('does not look like a message of the application: everything is beneath one key', () => {
    expect(Object.keys(write(beat))).toEqual(['shutdown-bus']);
  });
});

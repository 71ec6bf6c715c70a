import { describe, expect, it } from 'vitest';
import { replaceMethod } from '../src/replace-method.js';

const shout = (target: { say(word: string): string }) =>
  replaceMethod(target, 'say', (say) => (word) => say(word.toUpperCase()));

class Speaker {
  say(word: string): string {
    return `${this.constructor.name}: ${word}`;
  }
}

describe('replaceMethod', () => {
  it('stands in front of a method of the class, and its undo leaves nothing on the object', () => {
    const speaker = new Speaker();
    const undo = shout(speaker);
    expect(speaker.say('hello')).toBe('Speaker: HELLO');
    undo();
    expect(speaker.say('hello')).toBe('Speaker: hello');
    expect(Object.hasOwn(speaker, 'say')).toBe(false);
  });

  it('hears of a class that is patched later', () => {
    class Patched extends Speaker {}
    const speaker = new Patched();
    const undo = shout(speaker);
    Patched.prototype.say = (word) => `patched: ${word}`;
    expect(speaker.say('hello')).toBe('patched: HELLO');
    undo();
    expect(speaker.say('hello')).toBe('patched: hello');
  });

  it('gives back a method that the object has of its own', () => {
    const own = (word: string) => `own: ${word}`;
    const speaker = { say: own };
    const undo = shout(speaker);
    expect(speaker.say('hello')).toBe('own: HELLO');
    undo();
    expect(speaker.say).toBe(own);
  });

  it('leaves what somebody put on top of it, and only passes on below that', () => {
    const speaker = new Speaker();
    const undo = shout(speaker);
    const ours = speaker.say;
    const theirs = (word: string) => `(${ours.call(speaker, word)})`;
    speaker.say = theirs;
    expect(speaker.say('hello')).toBe('(Speaker: HELLO)');
    undo();
    expect(speaker.say).toBe(theirs);
    expect(speaker.say('hello')).toBe('(Speaker: hello)');
  });
});

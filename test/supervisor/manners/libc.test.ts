import { describe, expect, it } from 'vitest';
import { openLibc } from '../../../supervisor/manners/libc.js';

describe('the C library', () => {
  it('its functions can be called, and say why they failed', () => {
    const libc = openLibc();
    expect(libc.func('int getpid()')()).toBe(process.pid);
    expect(libc.func('int close(int fd)')(-1)).toBe(-1);
    // EBADF
    expect(libc.errno()).toBe(9);
  });

  it.each([
    [{ code: 'MODULE_NOT_FOUND' }, 'koffi is not installed: npm install koffi'],
    [{}, 'koffi cannot be loaded: nothing for this machine'],
  ])('without koffi the error says so (%j)', (properties, message) => {
    const load = () => {
      throw Object.assign(new Error('nothing for this machine'), properties);
    };
    expect(() => openLibc(load)).toThrow(expect.objectContaining({ code: 'PACKAGE_MISSING', message }));
  });
});

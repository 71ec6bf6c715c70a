import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { nameOf, stateFolder } from '../../supervisor/state-folder.js';

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'state-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  rmSync(place, { recursive: true });
});

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
const refused = (message: RegExp) =>
  expect.objectContaining({ code: 'INVALID_ENVIRONMENT', message: expect.stringMatching(message) });

describe('the folder of a user’s supervisors', () => {
  it('is systemd’s, else the session’s, else one among the temporary files', () => {
    vi.stubEnv('TMPDIR', place);
    const [systemd, session] = [join(place, 'systemd'), join(place, 'session')];
    const env = { STATE_DIRECTORY: systemd, XDG_RUNTIME_DIR: session };
    expect(stateFolder(env)).toBe(systemd);
    expect(existsSync(session)).toBe(false);
    expect(stateFolder({ ...env, STATE_DIRECTORY: '' })).toBe(join(session, 'shutdown-bus'));
    expect(stateFolder({ XDG_RUNTIME_DIR: '' })).toBe(join(place, `shutdown-bus-${process.getuid?.()}`));
  });

  it('is the first of several that systemd gives', () => {
    const [first, second] = [join(place, 'a'), join(place, 'b')];
    expect(stateFolder({ STATE_DIRECTORY: `${first}:${second}` })).toBe(first);
    expect(existsSync(second)).toBe(false);
  });

  it.each(['STATE_DIRECTORY', 'XDG_RUNTIME_DIR', 'TMPDIR'])(
    'is made for its user alone, below %s',
    (name) => {
      vi.stubEnv('TMPDIR', place);
      const path = stateFolder({ [name]: join(place, 'new') });
      expect(modeOf(path)).toBe('700');
      // And it is there the next time.
      expect(stateFolder({ [name]: join(place, 'new') })).toBe(path);
    },
  );

  it.each([0o720, 0o702, 0o722, 0o777])('is refused with mode %o: others may write to it', (mode) => {
    mkdirSync(join(place, 'open'));
    chmodSync(join(place, 'open'), mode);
    expect(() => stateFolder({ STATE_DIRECTORY: join(place, 'open') })).toThrow(
      refused(/others may write to it.*set XDG_RUNTIME_DIR, SHUTDOWN_STORE and control/),
    );
  });

  it.each([0o700, 0o755])('is taken with mode %o', (mode) => {
    mkdirSync(join(place, 'kept'));
    chmodSync(join(place, 'kept'), mode);
    expect(stateFolder({ STATE_DIRECTORY: join(place, 'kept') })).toBe(join(place, 'kept'));
  });

  it('is refused when somebody else owns it', () => {
    const path = stateFolder({ XDG_RUNTIME_DIR: place });
    const uid = statSync(path).uid;
    vi.spyOn(process as { getuid(): number }, 'getuid').mockReturnValue(uid + 1);
    expect(() => stateFolder({ XDG_RUNTIME_DIR: place })).toThrow(
      refused(new RegExp(`belongs to user ${uid}`)),
    );
  });

  it('is refused when it is a link, which somebody else may have laid', () => {
    mkdirSync(join(place, 'elsewhere'), { mode: 0o700 });
    symlinkSync(join(place, 'elsewhere'), join(place, 'shutdown-bus'));
    expect(() => stateFolder({ XDG_RUNTIME_DIR: place })).toThrow(refused(/others may write to it/));
  });

  it('that cannot be made is refused with what can be done about it', () => {
    writeFileSync(join(place, 'file'), '');
    for (const path of [join(place, 'file'), join(place, 'file', 'below')])
      expect(() => stateFolder({ STATE_DIRECTORY: path })).toThrow(
        refused(/cannot be made: E(EXIST|NOTDIR).*set XDG_RUNTIME_DIR/),
      );
  });
});

describe('the name of what belongs to one program', () => {
  it('is its file name, and tells two of the same name apart', () => {
    expect(nameOf('/srv/a/app.js')).toMatch(/^app\.js-[0-9a-f]{8}$/);
    expect(nameOf('/srv/a/app.js')).toBe(nameOf('/srv/a/app.js'));
    expect(nameOf('/srv/a/app.js')).not.toBe(nameOf('/srv/b/app.js'));
  });

  it('is a file name, whatever the program is called', () => {
    expect(nameOf('/srv/my app:1$.js')).toMatch(/^my_app_1_\.js-[0-9a-f]{8}$/);
  });
});

import { describe, expect, it } from 'vitest';
import { createFakeClock } from '../../../src/testing/fake-clock.js';
import { type NotifyLine, openDatagramLine } from '../../../supervisor/manners/notify-line.js';
import { openNotifySocket } from '../../../supervisor/manners/systemd.js';

interface Scene {
  readonly env?: NodeJS.ProcessEnv;
  readonly line?: Partial<NotifyLine>;
  readonly workersSpeak?: boolean;
}

function openScene({ env = {}, line = {}, ...options }: Scene = {}) {
  const clock = createFakeClock();
  const messages: string[] = [];
  const warnings: string[] = [];
  const variables: NodeJS.ProcessEnv = { NOTIFY_SOCKET: '/run/systemd/notify', ...env };
  let isOpen = true;
  const plain: NotifyLine = {
    send: (message) => void messages.push(message),
    close: () => void (isOpen = false),
  };
  const log = { info: expect.unreachable, warn: (text: string) => void warnings.push(text) };
  const lines = [() => ({ ...plain, ...line })];
  const socket = openNotifySocket(variables, log, { clock, lines, ...options });
  if (socket === undefined) throw new Error('no socket');
  return { clock, messages, warnings, variables, socket, isOpen: () => isOpen };
}

const watched = { WATCHDOG_USEC: '3000000', WATCHDOG_PID: String(process.pid) };

describe('what systemd is told', () => {
  it('readiness, a reload with its time, a state in one line', () => {
    const { socket, messages } = openScene();
    const before = process.hrtime.bigint() / 1000n;
    socket.ready();
    socket.status('2 workers\n  ready');
    socket.reloading();
    socket.ready();
    expect(messages).toEqual([
      'READY=1',
      'STATUS=2 workers ready',
      expect.stringMatching(/^RELOADING=1\nMONOTONIC_USEC=\d+$/),
      'READY=1',
    ]);
    const at = BigInt(messages[2]?.split('=').at(-1) as string);
    expect(at >= before && at <= process.hrtime.bigint() / 1000n).toBe(true);
  });

  it('a stop is announced at once, with the time it may take and a margin', () => {
    const { socket, messages, clock } = openScene();
    socket.stopping(8000);
    expect(messages).toEqual(['STOPPING=1\nEXTEND_TIMEOUT_USEC=13000000']);
    expect(clock.pending).toBe(0);
  });

  it('a long stop extends its limit again and again, until its end is in sight', async () => {
    const { socket, messages, clock } = openScene();
    socket.stopping(80_000);
    await clock.advance(14_999);
    expect(messages).toEqual(['STOPPING=1\nEXTEND_TIMEOUT_USEC=65000000']);
    await clock.advance(1);
    expect(messages.slice(1)).toEqual(['EXTEND_TIMEOUT_USEC=65000000']);
    await clock.advance(3_600_000);
    expect(messages.slice(2)).toEqual([55, 40, 25, 10].map((s) => `EXTEND_TIMEOUT_USEC=${s}000000`));
  });

  it('a stop without a limit extends it for as long as it takes', async () => {
    const { socket, messages, clock } = openScene();
    socket.stopping(Number.POSITIVE_INFINITY);
    await clock.advance(150_000);
    expect(messages).toHaveLength(11);
    expect(new Set(messages.slice(1))).toEqual(new Set(['EXTEND_TIMEOUT_USEC=65000000']));
  });

  it('of two limits of a stop the later one counts', async () => {
    const { socket, messages, clock } = openScene();
    socket.stopping(600_000);
    socket.stopping(1000);
    await clock.advance(600_000);
    expect(messages).toEqual(['STOPPING=1\nEXTEND_TIMEOUT_USEC=65000000', 'EXTEND_TIMEOUT_USEC=6000000']);
  });

  it('signs of life at half of the time that systemd waits, until it is closed', async () => {
    const { socket, messages, clock } = openScene({ env: watched });
    expect(messages).toEqual(['WATCHDOG=1']);
    await clock.advance(1499);
    expect(messages).toHaveLength(1);
    await clock.advance(1);
    expect(messages).toHaveLength(2);
    await clock.advance(3000);
    expect(messages).toEqual(Array(4).fill('WATCHDOG=1'));
    await socket.close();
    expect(clock.pending).toBe(0);
  });

  it.each([
    { WATCHDOG_USEC: '3000000', WATCHDOG_PID: '1' },
    { WATCHDOG_PID: String(process.pid) },
    { WATCHDOG_USEC: 'soon' },
    {},
  ])('no signs of life are given with %j', (env) => {
    const { messages, clock } = openScene({ env });
    expect(messages).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('signs of life without WATCHDOG_PID are those of any process of the service', () => {
    expect(openScene({ env: { WATCHDOG_USEC: '3000000' } }).messages).toEqual(['WATCHDOG=1']);
  });
});

describe('the way to systemd', () => {
  it('its variables are taken out of the environment, unless workers are to speak', () => {
    expect(openScene({ env: watched }).variables).toEqual({});
    const { variables } = openScene({ env: watched, workersSpeak: true });
    expect(Object.keys(variables)).toEqual(['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']);
  });

  it.each([{}, { NOTIFY_SOCKET: '' }])('without a socket (%j) there is nobody to tell', (env) => {
    const log = { info: expect.unreachable, warn: expect.unreachable };
    expect(openNotifySocket({ ...env, WATCHDOG_USEC: '1000' }, log)).toBeUndefined();
  });

  it('messages keep their order where each takes a while; close waits for the last', async () => {
    const sent: string[] = [];
    const free: (() => void)[] = [];
    const send = (message: string) =>
      new Promise<void>((resolve) => free.push(() => resolve(void sent.push(message))));
    const { socket, isOpen } = openScene({ line: { send } });
    socket.ready();
    socket.status('a');
    const closed = socket.close();
    socket.status('too late');
    expect(free).toHaveLength(1);
    free[0]?.();
    await expect.poll(() => free.length).toBe(2);
    expect([sent, isOpen()]).toEqual([['READY=1'], true]);
    free[1]?.();
    await closed;
    expect([sent, isOpen()]).toEqual([['READY=1', 'STATUS=a'], false]);
    await socket.close();
  });

  it('signs of life do not queue up where nothing gets through', async () => {
    const sent: string[] = [];
    const send = (message: string) => new Promise<void>(() => void sent.push(message));
    const { socket, clock } = openScene({ env: watched, line: { send } });
    socket.status('a');
    await clock.advance(60_000);
    expect(sent).toEqual(['WATCHDOG=1']);
  });

  it('what hinders a message is said once, until one gets through; none is an error', async () => {
    let broken = true;
    const send = (message: string) => {
      if (broken) throw new Error(`${message} is refused`);
      return undefined;
    };
    const { socket, warnings } = openScene({ line: { send } });
    socket.ready();
    socket.status('a');
    broken = false;
    socket.status('b');
    broken = true;
    socket.status('c');
    const told = (message: string) => `systemd was not told "${message}": ${message} is refused`;
    expect(warnings).toEqual([told('READY=1'), told('STATUS=c')]);
  });

  it.each(['vsock:2:1234', 'run/notify', '/', '@', `/${'x'.repeat(108)}`])('%s is no address', (address) => {
    expect(() => openDatagramLine(address)).toThrow('allowed: a path of up to 107 bytes, or @name');
  });

  it('without a way one line names what helps', () => {
    const warnings: string[] = [];
    const log = { info: expect.unreachable, warn: (text: string) => void warnings.push(text) };
    const none = (why: string) => () => {
      throw new Error(why);
    };
    const lines = [none('koffi is not installed'), none('no program systemd-notify')];
    expect(openNotifySocket({ NOTIFY_SOCKET: '/run/n' }, log, { lines })).toBeUndefined();
    expect(warnings).toEqual([
      'systemd cannot be told anything (koffi is not installed; no program systemd-notify): it will end a service of ' +
        'Type=notify as one that never became ready; what helps: npm install koffi, or the program systemd-notify',
    ]);
  });
});

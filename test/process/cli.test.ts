import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Child, type Ending, start } from './child.js';
import { pidsWith } from './processes.js';

const MAIN = '../../../dist/cli/main.js';
const CARELESS = fileURLToPath(new URL('./fixtures/careless.js', import.meta.url));
const APP = fileURLToPath(new URL('./fixtures/cli-service.js', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cli-'));
});
afterEach(async () => {
  for (const pid of pidsWith('XDG_RUNTIME_DIR', folder)) process.kill(pid, 'SIGKILL');
  await vi.waitFor(() => expect(pidsWith('XDG_RUNTIME_DIR', folder)).toEqual([]), { timeout: 15_000 });
  rmSync(folder, { recursive: true });
});

/** Supervisors of no other test, and of nobody else, are found. */
const environment = (env: NodeJS.ProcessEnv) => ({
  XDG_RUNTIME_DIR: folder,
  TMPDIR: folder,
  STATE_DIRECTORY: '',
  WEB_CONCURRENCY: '',
  SHUTDOWN_STORE: 'memory',
  ...env,
});

const begin = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  start(MAIN, { args, env: environment(env) });

/** Types a command, and waits for its end. */
const type = (...args: string[]): Promise<Ending> => begin(args).ended;
const ctl = (...args: string[]) => type('ctl', ...args);

/** A supervisor whose workers are ready. */
async function supervise(options: readonly string[] = ['-w', '1'], env?: NodeJS.ProcessEnv): Promise<Child> {
  const supervisor = begin(['run', ...options, ...(options.includes(APP) ? [] : [APP])], env);
  await supervisor.line(': ready: ');
  return supervisor;
}

const sockets = () => {
  const place = join(folder, 'shutdown-bus');
  if (!existsSync(place)) return [];
  return readdirSync(place)
    .filter((name) => name.endsWith('.sock'))
    .map((name) => join(place, name));
};
const [socketOf, pidOf] = [
  ({ process: { pid } }: Child) => sockets().find((path) => path.endsWith(`.${pid}.sock`)) as string,
  ({ process: { pid } }: Child) => pid as number,
];

/** What each worker said of itself. */
const workersOf = (supervisor: Child): { pid: number; argv: string[]; execArgv: string[] }[] =>
  supervisor
    .texts()
    .stdout.split('\n')
    .filter((line) => line.startsWith('{"pid"'))
    .map((line) => JSON.parse(line));

/** One line on stderr, no stack, and nothing was done. */
function expectMistake({ code, stdout, stderr }: Ending, message: string | RegExp, exitCode = 2): void {
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^shutdown-bus: .*\n$/);
  expect([code, stdout]).toEqual([exitCode, '']);
}

/** Whoever knows where the socket is. */
function converse(path: string) {
  const answers: unknown[] = [];
  const socket = connect(path).on('error', () => {});
  createInterface({ input: socket })
    .on('error', () => {})
    .on('line', (line) => answers.push(JSON.parse(line)));
  const ask = async (line: string) => {
    const before = answers.length;
    socket.write(`${line}\n`);
    await vi.waitFor(() => expect(answers.length).toBeGreaterThan(before), { timeout: 15_000, interval: 10 });
    return answers.at(-1);
  };
  return { ask, socket };
}

describe('shutdown-bus', () => {
  it('shows what it can when it is asked, or told nothing', async () => {
    const endings = await Promise.all([type('--help'), type('-h'), type('help'), type()]);
    for (const { code, stdout, stderr } of endings) {
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(/shutdown-bus run \[options\] <program>[\s\S]*shutdown-bus ctl/);
    }
  });

  it('shows its version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    for (const spelling of ['--version', '-v', 'version'])
      expect(await type(spelling)).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each(['dance', 'toString', '--wrong'])(
    'says that there is no command %s, and which there are',
    async (name) => {
      const { code, stdout, stderr } = await type(name);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toMatch(new RegExp(`^there is no command "${name}"\n[\\s\\S]*shutdown-bus ctl`));
    },
  );
});

describe('shutdown-bus run, mistyped', () => {
  it('shows its options when it is asked', async () => {
    for (const { code, stdout, stderr } of await Promise.all([
      type('run', '--help'),
      type('run', '-h', APP),
    ])) {
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(/-w, --workers <n>[\s\S]*--graceful-timeout <time>/);
    }
  });

  it.each<[string[], string | RegExp]>([
    [[], 'which program? shutdown-bus run [options] <program> [arguments]'],
    [['-w', '2'], 'which program?'],
    [['none.js'], new RegExp(`there is no program ".*none\\.js".*${process.cwd()}`)],
    [['--workers'], "'-w, --workers <value>' argument missing"],
  ])('%j says which program is missing, or what', async (args, message) => {
    expectMistake(await type('run', ...args), message);
  });

  it.each<[string[], string]>([
    [['--worker', '2'], "Unknown option '--worker'"],
    [['-x'], "Unknown option '-x'"],
    [['-w', 'two'], '--workers is "two", allowed: a whole number'],
    [['-w', '0'], 'workers is 0, allowed: whole numbers from 1 to 1024'],
    [['--timeout', 'soon'], '--timeout is "soon", allowed: a time such as 30, 30s, 500ms, 5m, 2h, or never'],
    [['--timeout', '50ms'], 'timeoutMs is 50, allowed: milliseconds from 100'],
    [['--timeout', '7', '--graceful-timeout', '5'], 'gracefulTimeoutMs 5000 is smaller than timeoutMs 7000'],
    [
      ['--timeout', 'never', '--graceful-timeout', '5'],
      'gracefulTimeoutMs 5000 has no effect where timeoutMs',
    ],
    [['-w', '-1'], '--workers is "-1", allowed: a whole number'],
    [['--no-control', '--control', '/x'], '--control and --no-control, allowed: one of the two'],
    [['--budget', 'never'], '--budget is "never", allowed: a time such as 30, 30s, 500ms, 5m, 2h'],
    [['--jitter', '10%'], '--jitter is "10%", allowed: 0 to 1'],
    [['--ready', 'soon'], `ready is "soon", allowed: 'listening' or 'started'`],
    [['--readiness-path', 'readyz'], `readinessPath is "readyz", allowed: a path such as '/readyz'`],
    [['--store', 'nowhere'], 'SHUTDOWN_STORE'],
  ])('%j is refused with what is allowed, and nothing is started', async (args, message) => {
    expectMistake(await type('run', ...args, APP), message);
  });

  it.each([
    [{ WEB_CONCURRENCY: 'two' }, 'WEB_CONCURRENCY is "two", allowed: whole numbers from 1 to 1024'],
    [{ SHUTDOWN_NOTIFIERS: 'pigeon' }, 'SHUTDOWN_NOTIFIERS'],
  ])('%j is refused as well', async (env, message) => {
    expectMistake(await begin(['run', APP], env).ended, message);
  });
});

describe('shutdown-bus run', () => {
  it('gives the program what follows it, whatever it looks like', async () => {
    const theirs = ['--workers', '9', '-h', '--version', '--', '--unknown=1', ''];
    const supervisor = await supervise(['-w', '2', APP, ...theirs]);
    expect(workersOf(supervisor).map(({ argv }) => argv)).toEqual([theirs, theirs]);
  });

  it('takes times as people write them', async () => {
    const times = [
      '--timeout',
      'never',
      '--fail-safe',
      'never',
      '--kill-gap',
      '500ms',
      '--start-timeout',
      '1m',
    ];
    const supervisor = await supervise(['-w', '1', ...times, '--budget', '5s']);
    supervisor.kill('SIGTERM');
    const { code, stderr } = await supervisor.ended;
    expect(code).toBe(0);
    expect(stderr).toMatch(/stopping: SIGTERM \(15\), 0 jobs open, budget 5000 ms/);
  });

  it('gives the workers all options of Node that were asked for', async () => {
    const asked = ['--enable-source-maps', '--max-old-space-size=300'];
    const supervisor = await supervise(['-w', '1', ...asked.map((text) => `--node-option=${text}`)]);
    expect(workersOf(supervisor)[0]?.execArgv.slice(0, 2)).toEqual(asked);
  });

  it('has as many workers as WEB_CONCURRENCY says, and is who it is told to be', async () => {
    const supervisor = await supervise(['--service', 'orders'], { WEB_CONCURRENCY: '3' });
    expect(workersOf(supervisor)).toHaveLength(3);
    expect(supervisor.texts().stderr).toMatch(/^shutdown-bus [0-9a-f]{12} orders: supervising 3 workers/m);
  });

  it('has no control socket where none is wanted', async () => {
    await supervise(['-w', '1', '--no-control']);
    expect(sockets()).toEqual([]);
    expectMistake(await ctl('status'), 'no supervisor is found');
  });

  it('a program without a server is ended for it, and the line says what helps', async () => {
    const program = join(folder, 'cron.mjs');
    writeFileSync(program, 'setInterval(() => {}, 1000)');
    const supervisor = begin(['run', '-w', '1', '--start-timeout', '500ms', program]);
    await supervisor.line('is not ready for');
    expect(supervisor.texts().stderr).toMatch(/ms: SIGKILL; no server of it listens; .*--ready started/);
  });

  it('a program without a server that closes everything comes to its end, and is not killed', async () => {
    const program = join(folder, 'cron.mjs');
    writeFileSync(
      program,
      `const timer = setInterval(() => {}, 1000);
       process.on('SIGTERM', () => setTimeout(() => { clearInterval(timer); console.log('closed'); }, 200));`,
    );
    const supervisor = begin(['run', '-w', '1', '--ready', 'started', program]);
    await supervisor.line('is ready');
    supervisor.kill('SIGTERM');
    const { code, stdout, stderr } = await supervisor.ended;
    expect([code, stdout]).toEqual([0, 'closed\n']);
    expect(stderr).not.toContain('SIGKILL');
  });

  it('a program that cannot start: the exit code, and the last line says it and why', async () => {
    const program = join(folder, 'bad.mjs');
    writeFileSync(program, 'throw new Error("bad release")');
    const { code, stderr } = await begin(['run', '-w', '1', program]).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/exit code 1 because of what the workers ended with: 1\n$/);
  });

  it('a program with a longer budget of its own is told that it does not get it', async () => {
    const lines = async (budget: string) => {
      const supervisor = begin(['run', '-w', '1', CARELESS], { SERVES: '1', BUDGET: budget });
      await supervisor.line('is ready');
      supervisor.kill('SIGTERM');
      return (await supervisor.ended).stderr;
    };
    expect(await lines('60000')).toMatch(
      /budgetMs is 60000, and the supervisor ends this worker after \d+: leave/,
    );
    expect(await lines('1000')).not.toContain('the supervisor ends this worker');
  });
});

describe('shutdown-bus ctl, mistyped', () => {
  it('shows its commands; without one that is a mistake', async () => {
    const [asked, bare] = await Promise.all([ctl('--help'), ctl()]);
    expect([asked.code, bare.code]).toEqual([0, 2]);
    for (const { stdout } of [asked, bare])
      expect(stdout).toMatch(/status[\s\S]*scale <n>[\s\S]*--pid <pid>/);
  });

  it.each<[string[], string]>([
    [['dance'], 'the command is "dance", allowed: status, reload, scale <n>, stop'],
    [['dance', 'on'], 'the command is "dance", allowed'],
    [['status', 'now'], '"now" is too much after status'],
    [['scale'], 'scale to how many workers?'],
    [['scale', 'two'], 'the number of workers is "two", allowed: a whole number'],
    [['scale', '2', '3'], '"3" is too much after scale'],
    [['--pid', 'abc', 'status'], '--pid is "abc", allowed: a whole number'],
    [['--jsn', 'status'], "Unknown option '--jsn'"],
    [['status', '--jsn'], "Unknown option '--jsn'"],
  ])('%j is refused before anybody is asked', async (args, message) => {
    expectMistake(await ctl(...args), message);
  });
});

describe('shutdown-bus ctl', () => {
  it('says so when no supervisor runs', async () => {
    const none = `no supervisor is found: no socket of a running one in ${folder}/shutdown-bus; one elsewhere is found by --control <path>`;
    expectMistake(await ctl('status'), none);
    expectMistake(await ctl('--pid', '1', 'stop'), 'no supervisor with process 1 is found');
    // Not a mistake in what was typed: it may be there the next time.
    expectMistake(
      await ctl('--control', join(folder, 'none.sock'), 'status'),
      /no supervisor answers at .*none\.sock: connect ENOENT/,
      1,
    );
  });

  it('shows what runs, as text and as JSON, wherever the option stands', async () => {
    const supervisor = await supervise(['-w', '2', '--service', 'orders']);
    const [{ code, stdout, stderr }, ...asJson] = await Promise.all([
      ctl('status'),
      ctl('status', '--json'),
      ctl('--json', 'status'),
    ]);
    expect([code, stderr]).toEqual([0, '']);
    const pid = pidOf(supervisor);
    const [head, columns, ...rows] = stdout.trim().split('\n');
    expect(head).toBe(`orders (pid ${pid}) running: 2 of 2 workers ready, ${APP}`);
    expect(columns).toMatch(/^worker +pid +state +age +requests$/);
    const pids = workersOf(supervisor).map((worker) => worker.pid);
    expect(rows.map((row) => row.trim().split(/ +/))).toEqual(
      [1, 2].map((id) => [String(id), expect.any(String), 'ready', expect.stringMatching(/^\d+s$/), '0']),
    );
    expect(rows.map((row) => Number(row.split(/ +/)[1])).sort()).toEqual([...pids].sort());
    for (const { stdout: json } of asJson)
      expect(JSON.parse(json)).toMatchObject({
        ok: true,
        state: { state: 'running', pid, service: 'orders', exec: APP, wanted: 2, ready: 2, reloading: false },
      });
  });

  it('scales, and tells what the supervisor refuses', async () => {
    const supervisor = await supervise();
    expect((await ctl('scale', '3')).stdout).toMatch(/of 3 workers ready/);
    await vi.waitFor(async () => expect((await ctl('status')).stdout).toMatch(/: 3 of 3 workers ready/), {
      timeout: 15_000,
    });
    await ctl('scale', '1');
    await vi.waitFor(async () => expect((await ctl('status')).stdout.trim().split('\n')).toHaveLength(3), {
      timeout: 15_000,
    });
    expectMistake(await ctl('scale', '0'), 'scale: workers is 0, allowed: whole numbers from 1 to 1024', 1);
    expect(supervisor.process.exitCode).toBeNull();
  });

  it('a worker that is one too many before it has begun goes at once, and is not left serving until it is killed', async () => {
    const supervisor = await supervise();
    const { ask } = converse(socketOf(supervisor));
    await ask('{"command":"scale","workers":2}');
    await ask('{"command":"scale","workers":1}');
    await vi.waitFor(() => expect(supervisor.texts().stderr).toMatch(/worker 2 \(pid \d+\) ended: /), {
      timeout: 30_000,
      interval: 20,
    });
    expect(supervisor.texts().stderr).not.toMatch(/worker 2 .*did not end in its time/);
  });

  it('reloads, and is back when the last old worker is gone', async () => {
    const supervisor = await supervise(['-w', '2']);
    const { code, stdout } = await ctl('reload');
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^restarted: 2 workers in \d+ ms\n$/)]);
    const pids = workersOf(supervisor).map(({ pid }) => pid);
    expect(new Set(pids).size).toBe(4);
    const { state } = JSON.parse((await ctl('status', '--json')).stdout);
    expect(state.workers.map(({ pid }: { pid: number }) => pid).sort()).toEqual(pids.slice(2).sort());
  });

  it('a reload that was given up is a failure, and the old workers go on', async () => {
    const app = join(folder, 'app.mjs');
    writeFileSync(app, readFileSync(APP));
    const supervisor = begin(['run', '-w', '1', app]);
    await supervisor.line(': ready: 1 workers');
    writeFileSync(app, 'process.exit(7)');
    const { code, stdout } = await ctl('reload');
    expect([code, stdout]).toEqual([1, expect.stringMatching(/^given up: 0 workers in \d+ ms\n$/)]);
    expect((await ctl('status')).stdout).toContain('running: 1 of 1 workers ready');
  });

  it.each([
    [[], 'request: stop,'],
    [['--unhurried'], 'request: stop without haste,'],
  ])('stops %j, and is back when it is over', async (options, reason) => {
    const supervisor = await supervise();
    expect(await ctl('stop', ...options)).toMatchObject({
      code: 0,
      stdout: 'stopped, exit code 0\n',
      stderr: '',
    });
    const { code, stderr } = await supervisor.ended;
    expect(code).toBe(0);
    expect(stderr).toContain(`stopping: ${reason}`);
    expect(sockets()).toEqual([]);
    expect(pidsWith('XDG_RUNTIME_DIR', folder)).toEqual([]);
  });

  it('wants to know which one, when there are several', async () => {
    const [first, second] = await Promise.all([supervise(), supervise()]);
    const [one, other] = [pidOf(first), pidOf(second)];
    expectMistake(
      await ctl('status'),
      new RegExp(`several are running: choose one by --pid (${one} \\| ${other}|${other} \\| ${one})`),
    );
    for (const pid of [one, other])
      expect((await ctl('status', '--pid', `${pid}`)).stdout).toContain(`(pid ${pid})`);
    await ctl('stop', '--pid', `${one}`);
    await first.ended;
    expect((await ctl('status')).stdout).toContain(`(pid ${other})`);
  });
});

describe('the control socket', () => {
  it('is its user’s alone, and is gone after the end, however it came', async () => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
      const supervisor = await supervise();
      const path = socketOf(supervisor);
      expect((statSync(path).mode & 0o777).toString(8)).toBe('600');
      expect((statSync(dirname(path)).mode & 0o777).toString(8)).toBe('700');
      supervisor.kill(signal);
      await supervisor.ended;
      expect(sockets()).toEqual([]);
    }
  });

  it('is found by whoever has other variables than the one that has started it', async () => {
    const supervisor = await supervise(['-w', '1'], { XDG_RUNTIME_DIR: '' });
    try {
      expect((await ctl('status')).stdout).toContain(`(pid ${pidOf(supervisor)})`);
      const nearer = await supervise();
      expect((await ctl('status')).stdout).toContain(`(pid ${pidOf(nearer)})`);
    } finally {
      supervisor.kill('SIGTERM');
      await supervisor.ended;
    }
  });

  it('of a supervisor that was killed confuses nobody, also when its number is somebody else’s by now', async () => {
    const killed = await supervise();
    const left = socketOf(killed);
    killed.kill('SIGKILL');
    await killed.ended;
    expect(sockets()).toEqual([left]);
    expectMistake(await ctl('status'), 'no supervisor is found');
    renameSync(left, left.replace(/\d+\.sock$/, `${process.pid}.sock`));
    expectMistake(await ctl('status'), 'no supervisor is found');
    const next = await supervise();
    expect(sockets()).toHaveLength(2);
    expect((await ctl('status')).stdout).toContain(`(pid ${pidOf(next)})`);
  });

  it('at a path of one’s own is taken over from one that was killed, and not from one that lives', async () => {
    const path = join(folder, 'own.sock');
    const options = ['-w', '1', '--control', path];
    const killed = await supervise(options);
    killed.kill('SIGKILL');
    await killed.ended;
    const second = await supervise(options);
    const status = async () => (await ctl('status', '--control', path)).stdout;
    expect(await status()).toContain(`(pid ${pidOf(second)})`);
    const third = await supervise(options);
    await third.line(`the control socket ${path} cannot be used`);
    third.kill('SIGTERM');
    expect((await third.ended).code).toBe(0);
    expect(await status()).toContain(`(pid ${pidOf(second)})`);
  });

  it('answers nonsense with an error, and the supervisor goes on', async () => {
    const supervisor = await supervise();
    const { ask, socket } = converse(socketOf(supervisor));
    const refused = (error: string) => ({ ok: false, error: expect.stringContaining(error) });
    expect(await ask('{"command":"dance"}')).toEqual(
      refused('the command is "dance", allowed: status, reload'),
    );
    expect(await ask('garbage')).toEqual(refused('Unexpected token'));
    expect(await ask('{"command":"scale"}')).toEqual(refused('workers is missing'));
    expect(await ask('{"command":"scale","workers":"2"}')).toEqual(refused('workers is "2", allowed'));
    expect(await ask('{"command":"status"}')).toMatchObject({ ok: true, state: { wanted: 1 } });
    socket.end('{"command":"stop"');
    // Two who leave at once: one without a word, one without hearing its answer.
    converse(socketOf(supervisor)).socket.destroy();
    const rude = connect(socketOf(supervisor), () => {
      rude.pause();
      rude.write('{"command":"reload"}\n');
    });
    await supervisor.line(': restarted: 1 workers');
    rude.destroy();
    expect((await ctl('status')).stdout).toContain('running: 1 of 1 workers ready');
    expect(supervisor.process.exitCode).toBeNull();
  });

  it('tells how far a stop is, as long as it takes', async () => {
    const supervisor = await supervise(['-w', '1', '--budget', '30s']);
    const [worker] = workersOf(supervisor);
    process.kill(worker?.pid as number, 'SIGSTOP');
    const stopped = ctl('stop');
    await supervisor.line('stopping: request: stop');
    expect((await ctl('status')).stdout).toMatch(/\) stopping: 0 of 1 workers ready[\s\S]*stopping/);
    process.kill(worker?.pid as number, 'SIGCONT');
    expect((await stopped).stdout).toBe('stopped, exit code 0\n');
  });
});

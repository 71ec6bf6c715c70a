import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type ControlAnswer, type ControlRequest, knock, pidOfControl } from '../supervisor/control.js';
import type { SupervisorState } from '../supervisor/events.js';
import { placeOf, stateFolders } from '../supervisor/state-folder.js';
import { describeOptions, type OptionTable, readOptions, readWhole, UsageError } from './usage.js';

const OPTIONS: OptionTable = {
  control: { value: '<path>', text: 'its socket (the only one of this user)' },
  pid: { value: '<pid>', text: 'its process, when there are several' },
  unhurried: { text: 'stop without a limit but the fail-safe' },
  json: { text: 'the answer as JSON' },
  help: { short: 'h', text: 'this' },
};

const HELP = `shutdown-bus ctl [options] <command>

  status     what runs
  reload     replace every worker, one after the other; returns when the last old one is gone
  scale <n>  so many workers from now on
  stop       end the workers, then the service; returns when it is over

${describeOptions(OPTIONS)}
`;

/** `shutdown-bus ctl`. */
export async function ctl(args: readonly string[]): Promise<void> {
  const { options, words } = sortOut(args);
  if (options.values.help || words.length === 0) {
    process.stdout.write(HELP);
    if (!options.values.help) process.exitCode = 2;
    return;
  }
  const request = requestFrom(words, options.values.unhurried === true);
  const answer = await ask(await findSocket(options.values), request);
  if (!answer.ok) throw new Error(answer.error);
  process.stdout.write(options.values.json ? `${JSON.stringify(answer)}\n` : describe(answer));
  if (answer.reload !== undefined && answer.reload.outcome !== 'restarted') process.exitCode = 1;
}

/** Options may stand before the command and after it. */
function sortOut(args: readonly string[]) {
  const before = readOptions(args, OPTIONS);
  const words: string[] = [];
  let rest = before.positionals;
  let values = before.values;
  while (rest.length > 0) {
    const [word, ...more] = rest as [string, ...string[]];
    words.push(word);
    const next = readOptions(more, OPTIONS);
    values = { ...values, ...next.values };
    rest = next.positionals;
  }
  return { options: { values }, words };
}

/** @throws {UsageError} */
function requestFrom([command, ...rest]: readonly string[], unhurried: boolean): ControlRequest {
  const refuseMore = (most: number) => {
    if (rest.length > most)
      throw new UsageError(`${JSON.stringify(rest[most])} is too much after ${command}`);
  };
  switch (command) {
    case 'status':
    case 'reload':
      refuseMore(0);
      if (unhurried) throw new UsageError(`--unhurried is for stop, not for ${command}`);
      return { command };
    case 'stop':
      refuseMore(0);
      return { command, unhurried };
    case 'scale':
      refuseMore(1);
      if (rest[0] === undefined) throw new UsageError('scale to how many workers? shutdown-bus ctl scale 4');
      return { command, workers: readWhole('the number of workers', rest[0]) };
    default:
      throw new UsageError(
        `the command is ${JSON.stringify(command)}, allowed: status, reload, scale <n>, stop`,
      );
  }
}

/** @throws {UsageError} */
async function findSocket({ control, pid }: Readonly<Record<string, unknown>>): Promise<string> {
  if (typeof control === 'string') return control;
  const wanted = typeof pid === 'string' ? readWhole('--pid', pid) : undefined;
  const folders = stateFolders(process.env);
  const [one, ...others] = await firstOf(folders, (folder) => socketsIn(folder, wanted));
  if (one === undefined)
    throw new UsageError(
      `no supervisor${wanted === undefined ? '' : ` with process ${wanted}`} is found: no socket of a running one in ` +
        `${folders.join(', ') || placeOf(process.env)}; one elsewhere is found by --control <path>, and its log says the path`,
    );
  if (others.length > 0)
    throw new UsageError(
      `several are running: choose one by --pid ${[one, ...others].map(pidOfControl).join(' | ')}`,
    );
  return one;
}

/** What is found in the first folder that has any: the one these variables say comes first. */
async function firstOf(folders: readonly string[], look: (folder: string) => Promise<string[]>) {
  for (const folder of folders) {
    const found = await look(folder);
    if (found.length > 0) return found;
  }
  return [];
}

/** Those that are answered: who was killed has left its own, and its number may be another process by now. */
async function socketsIn(folder: string, wanted: number | undefined): Promise<string[]> {
  const paths = readdirSync(folder)
    .filter((file) => {
      const pid = pidOfControl(file);
      return pid !== undefined && pid === (wanted ?? pid);
    })
    .map((file) => join(folder, file));
  const answers = await Promise.all(paths.map(knock));
  return paths.filter((_, index) => answers[index] === 'answered');
}

function ask(path: string, request: ControlRequest): Promise<ControlAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => socket.write(`${JSON.stringify(request)}\n`));
    const failed = (error: Error) => reject(new Error(`no supervisor answers at ${path}: ${error.message}`));
    socket.on('error', failed);
    createInterface({ input: socket })
      .on('line', (line) => {
        socket.end();
        try {
          resolve(JSON.parse(line) as ControlAnswer);
        } catch {
          reject(new Error(`whoever answers at ${path} is no supervisor`));
        }
      })
      .on('close', () => reject(new Error('the supervisor ended before it had answered')))
      // Of the socket once more: nobody's, it would end this process.
      .on('error', failed);
  });
}

function describe({ state, reload, exitCode }: Extract<ControlAnswer, { ok: true }>): string {
  if (exitCode !== undefined) return `stopped, exit code ${exitCode}\n`;
  if (reload !== undefined)
    return `${reload.outcome.replace('-', ' ')}: ${reload.workers} workers in ${reload.durationMs} ms\n`;
  return describeState(state);
}

function describeState({
  service,
  pid,
  exec,
  state,
  wanted,
  ready,
  reloading,
  workers,
}: SupervisorState): string {
  const rows = [
    ['worker', 'pid', 'state', 'age', 'requests'],
    ...workers.map((worker) => [
      String(worker.id),
      String(worker.pid),
      worker.state,
      ageOf(worker.startedAt),
      String(worker.requests),
    ]),
  ];
  const widths = [0, 1, 2, 3].map(
    (column) => Math.max(...rows.map((row) => (row[column] as string).length)) + 2,
  );
  const table = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('')
      .trimEnd(),
  );
  const what = reloading ? `${state}, reloading` : state;
  return `${service} (pid ${pid}) ${what}: ${ready} of ${wanted} workers ready, ${exec}\n${table.join('\n')}\n`;
}

function ageOf(startedAt: string): string {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(startedAt)) / 1000));
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days}d ${hours}h`;
  if (hours > 0) return `${hours}h ${minutes}m`;
  return minutes > 0 ? `${minutes}m ${seconds % 60}s` : `${seconds}s`;
}

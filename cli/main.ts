#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { messageOf } from '../src/errors.js';
import { isUsageError } from './usage.js';

const HELP = `shutdown-bus: what a service does in its last ten seconds

  shutdown-bus run [options] <program> [arguments]   workers that are drained, reloaded and supervised
  shutdown-bus ctl [options] <command>               status, reload, scale, stop of a running one

  shutdown-bus <command> --help     what it takes
  shutdown-bus --version
`;

const COMMANDS: Readonly<Record<string, () => Promise<(args: readonly string[]) => unknown>>> = {
  run: async () => (await import('./run.js')).run,
  ctl: async () => (await import('./ctl.js')).ctl,
};

async function main([name = '--help', ...args]: readonly string[]): Promise<void> {
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load !== undefined) await (await load())(args);
  else if (name === '--help' || name === '-h' || name === 'help') process.stdout.write(HELP);
  else if (name === '--version' || name === '-v' || name === 'version')
    process.stdout.write(`${version()}\n`);
  else {
    process.stderr.write(`there is no command ${JSON.stringify(name)}\n\n${HELP}`);
    process.exitCode = 2;
  }
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`shutdown-bus: ${messageOf(error)}\n`);
  process.exitCode = isUsageError(error) ? 2 : 1;
});

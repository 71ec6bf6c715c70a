import { describe, expect, it } from 'vitest';
import { INIT_NAME } from '../../../supervisor/manners/init.js';
import { type Ancestry, warnOfParent } from '../../../supervisor/manners/npm-parent.js';

const NPM = {
  npm_lifecycle_event: 'start',
  npm_lifecycle_script: 'node app.js',
  npm_config_user_agent: 'npm/11.19.1 node/v20.20.2 linux x64 workspaces/false',
};
const YARN = { ...NPM, npm_config_user_agent: 'yarn/1.22.22 npm/? node/v20.20.2 linux x64' };
const BERRY = { ...NPM, npm_config_user_agent: 'yarn/4.10.3 npm/? node/v20.20.2 linux x64' };
const SHELL = ['sh', '-c', 'node app.js'];

/** @param commands of the parent, its parent, and so on; the last one is process 1. */
function linesFor(
  env: NodeJS.ProcessEnv,
  commands: readonly (readonly string[])[],
  rest: Partial<Ancestry> = {},
) {
  const lines: string[] = [];
  const read = (pid: number) => {
    const args = commands[commands.length - pid];
    return args && { args, parent: pid - 1 };
  };
  const ancestry = { platform: 'linux', env, ppid: commands.length, read, ...rest } as const;
  warnOfParent({ warn: (line) => lines.push(line) }, ancestry);
  return lines;
}

describe('a parent that keeps signals to itself', () => {
  it('a shell of npm start: the line names it, and what helps', () => {
    expect(linesFor(NPM, [SHELL, ['npm start'], ['bash', '/entry.sh']])).toEqual([
      'signals may not reach this process: "npm run start" has started it by a shell (sh -c node app.js), which hands none on; ' +
        'what helps: write "exec" before the command, or make the command itself the one that is started: shutdown-bus run app.js',
    ]);
  });

  it.each([
    [
      'npm by its file',
      NPM,
      [SHELL, ['node', '/usr/lib/node_modules/npm/bin/npm-cli.js', 'start']],
      'npm run',
    ],
    [
      'a script that starts a script',
      NPM,
      [['sh', './start.sh'], ['sh', '-c', './start.sh'], ['npm start']],
      'npm run',
    ],
    ['busybox', NPM, [['/bin/busybox', 'sh', '-c', 'node app.js'], ['npm start']], 'npm run'],
    [
      'npx',
      { ...NPM, npm_lifecycle_event: 'npx' },
      [SHELL, ['npm exec shutdown-bus run']],
      '"npx" has started',
    ],
    ['pnpm', NPM, [SHELL, ['node', '/usr/bin/pnpm.cjs', 'start']], 'pnpm run'],
    [
      'yarn 1',
      YARN,
      [
        ['/bin/sh', '-c', 'node app.js'],
        ['node', '/x/.bin/yarn', 'start'],
      ],
      'yarn run',
    ],
    ['yarn 1 without a shell', YARN, [['node', '/x/.bin/yarn', 'start']], 'yarn 1 does not wait'],
    ['the shell form of CMD', {}, [['/bin/sh', '-c', 'node app.js']], 'process 1 is a shell'],
    ['an entry point without exec', {}, [['bash', '-e', '/entry.sh']], 'process 1 is a shell'],
  ])('%s', (_name, env, commands, text) => {
    expect(linesFor(env, commands)).toEqual([expect.stringContaining(text)]);
  });

  it.each([
    ['npm with exec', NPM, [['npm start'], ['bash']]],
    ['pnpm with exec', NPM, [['node', '/usr/bin/pnpm.cjs', 'start']]],
    ['yarn 4', BERRY, [['node', '/x/yarn.js', 'run', 'start']]],
    ['a shell that somebody types into', {}, [['-bash'], ['sshd']]],
    ['the same as process 1', {}, [['bash', '-l']]],
    [
      'the shell of our own in the place of process 1',
      {},
      [['sh', '-c', 'pid=', INIT_NAME, 'node', 'app.js']],
    ],
    ['an init', {}, [['tini', '--', 'node', 'app.js']]],
    ['a shell of a test runner below npm test', NPM, [SHELL, ['node', '/x/vitest.mjs'], ['npm test']]],
    ['a folder called npm', NPM, [SHELL, ['node', '/srv/npm/server.js']]],
    ['a parent that cannot be read', NPM, []],
  ])('nothing is said of %s', (_name, env, commands) => {
    expect(linesFor(env, commands)).toEqual([]);
  });

  it('elsewhere than on Linux the variables tell, unless the script says exec', () => {
    const platform = 'darwin';
    expect(linesFor(NPM, [], { platform })).toEqual([
      expect.stringContaining('"npm run start" has started it, perhaps by a shell that hands none on'),
    ]);
    expect(linesFor({ ...NPM, npm_lifecycle_script: 'exec node app.js' }, [], { platform })).toEqual([]);
    expect(linesFor({}, [], { platform })).toEqual([]);
    expect(linesFor(NPM, [], { platform: 'win32' })).toEqual([]);
  });

  it('a long command is cut', () => {
    const [line] = linesFor({}, [['sh', '-c', `node ${'x'.repeat(300)}`]]);
    expect(line).toMatch(/\(sh -c node x{66}\.\.\.\)/);
  });
});

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

/**
 * Compiles one backend, `notifiers/sns` say, into a folder where no package is installed, runs `code` there as a module and
 * gives its standard output. `code` imports the backend from `./<backend>.js`.
 */
export async function runWithoutPackages(backend: string, code: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bare-install-'));
  try {
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const source = join(root, `${backend}.ts`);
    const flags = '--ignoreConfig --noCheck --skipLibCheck --module nodenext --target es2023 --types node';
    const compile = [tsc, ...flags.split(' '), '--rootDir', root, '--outDir', folder, source];
    await run(process.execPath, compile, { cwd: root });
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    await writeFile(join(folder, 'main.js'), code);
    const { stdout } = await run(process.execPath, ['main.js'], { cwd: folder });
    return stdout.trim();
  } finally {
    await rm(folder, { recursive: true });
  }
}

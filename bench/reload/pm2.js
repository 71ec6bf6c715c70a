// @ts-check
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const VERSION = '7.0.4';
const FOLDER = fileURLToPath(new URL('../../.cache/peers', import.meta.url));

/**
 * The folder and the version of PM2: the one named by PM2, or one in .cache/peers, which is installed there when it is missing. Not a
 * devDependency: who never runs this benchmark does not need its 77 packages.
 * @returns {Promise<{ folder: string, version: string }>}
 * @throws when there is none, saying what to do
 */
export async function findPm2() {
  if (process.env.PM2) {
    const version = versionIn(process.env.PM2);
    if (version !== undefined) return { folder: process.env.PM2, version };
    throw new Error(`PM2 is ${JSON.stringify(process.env.PM2)}; allowed: the folder of the package pm2`);
  }
  const folder = join(FOLDER, 'node_modules', 'pm2');
  if (versionIn(folder) !== VERSION) await install();
  return { folder, version: VERSION };
}

async function install() {
  process.stderr.write(`installing PM2 ${VERSION} into ${FOLDER}\n`);
  const flags = ['--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund'];
  try {
    await mkdir(FOLDER, { recursive: true });
    await promisify(execFile)('npm', ['install', '--prefix', FOLDER, ...flags, `pm2@${VERSION}`]);
  } catch (cause) {
    throw new Error(
      `no PM2: npm could not install pm2@${VERSION} into ${FOLDER}; do that, or name its folder in PM2`,
      { cause },
    );
  }
}

/** @param {string} folder @returns {string | undefined} */
function versionIn(folder) {
  try {
    const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return name === 'pm2' ? version : undefined;
  } catch {
    return undefined;
  }
}

/** A home for one PM2: nothing of it is seen by another. @param {object} app as an ecosystem file has it */
export function createHome(app) {
  const home = mkdtempSync(join(tmpdir(), 'shutdown-bus-pm2-'));
  const ecosystem = join(home, 'ecosystem.json');
  writeFileSync(ecosystem, JSON.stringify({ apps: [app] }));
  const remove = () => {
    process.off('exit', remove);
    rmSync(home, { recursive: true, force: true, maxRetries: 3 });
  };
  process.once('exit', remove);
  return { ecosystem, env: { PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: 'true' }, remove };
}

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A module of this package as one file, for a process of its own. */
export interface Bundle {
  readonly path: string;
  remove(): void;
}

/** @param where `'alone'`: in a folder from which no package is found. */
export async function bundle(source: string, where: 'with packages' | 'alone'): Promise<Bundle> {
  const cache = join(ROOT, '.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(where === 'alone' ? tmpdir() : cache, 'bundle-'));
  const path = join(folder, `${basename(source, '.ts')}.mjs`);
  const made = await rolldown({ input: join(ROOT, source), platform: 'node', logLevel: 'silent' });
  await made.write({ file: path, format: 'esm' });
  return { path, remove: () => rmSync(folder, { recursive: true }) };
}

import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

/** The built package once more, in a folder of its own until the test is over. @returns that folder. */
export function copyPackage(): string {
  const copy = mkdtempSync(join(tmpdir(), 'copy-'));
  onTestFinished(() => rmSync(copy, { recursive: true }));
  for (const name of ['dist', 'package.json']) cpSync(here(name), join(copy, name), { recursive: true });
  symlinkSync(here('node_modules'), join(copy, 'node_modules'));
  return copy;
}

const here = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

// @ts-check
// The package's JavaScript: one file for what every service loads at its start, one for each part loaded later.
// A file costs a cold start half a millisecond, and the sources have many small ones. Types come from tsc.
import { readFileSync } from 'node:fs';
import { defineConfig } from 'rolldown';

/** @type {{ exports: Record<string, string | { default: string }> }} */
const { exports } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));

/** What package.json exports: dist/http/index.js is made of http/index.ts. */
const entries = Object.values(exports)
  .flatMap((entry) => (typeof entry === 'string' ? [] : [entry.default]))
  .map((path) => path.replace(/^\.\/dist\/(.*)\.js$/, '$1'));

/** What the core shares with its parts that are loaded later, and with the watchdog's voice. */
const BASE =
  /[\\/]src[\\/](clock|config[\\/]checks|delivery[\\/]notifier-loader|envelope|errors|jobs[\\/](delivery-marks|interrupt)|logger|own-code|phases|reason|safekeeping[\\/](owner-account|store-loader))\.ts$/;

const common = {
  /** Dependencies, optional peers, node: and this package by its own name stay imports. @param {string} id */
  external: (id) => !id.startsWith('.') && !id.startsWith('/'),
  platform: /** @type {const} */ ('node'),
  transform: { target: 'node20.19' },
};

export default defineConfig([
  {
    ...common,
    // The watchdog's thread starts the voice by its file, a supervisor its workers with theirs.
    input: Object.fromEntries(
      [...entries, 'src/watchdog/voice', 'supervisor/worker', 'cli/main'].map((name) => [name, `${name}.ts`]),
    ),
    output: {
      dir: 'dist',
      format: 'esm',
      // They are in the types, where editors look; here every service would read them at its start.
      comments: { jsdoc: false },
      entryFileNames: '[name].js',
      // Beside the thread's file, which the watchdog finds by its own place.
      chunkFileNames: ({ name }) => `src/${name === 'src' ? 'core' : name}.js`,
      // Left to itself, each set of users of a module would get a file of its own.
      codeSplitting: { groups: [{ name: 'base', test: BASE }] },
    },
  },
  {
    ...common,
    // A thread starts sooner from one file that is no module.
    input: {
      'src/watchdog/thread': 'src/watchdog/thread.cts',
      'supervisor/blocked-stack-thread': 'supervisor/blocked-stack/thread.ts',
    },
    output: { dir: 'dist', format: 'cjs', entryFileNames: '[name].cjs' },
  },
]);

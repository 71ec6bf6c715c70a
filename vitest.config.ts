import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // For .ci/run, which prints the totals once more.
    reporters: process.env.CI ? ['default', ['json', { outputFile: '.cache/vitest.json' }]] : ['default'],
    coverage: {
      include: [
        'src/**',
        'notifiers/**',
        'stores/**',
        'http/**',
        'children/**',
        'supervisor/**',
        'cli/**',
        'queues/**',
      ],
    },
    env: { METADATA_SERVER_DETECTION: 'none' },
    // What is waited for comes at once, but for a machine that is busy with something else.
    expect: { poll: { timeout: 15_000 } },
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: ['test/process/**'] },
      },
      {
        // Real processes, real signals, real clocks: one at a time, so that they do not take each other's processor.
        extends: true,
        test: {
          name: 'process',
          include: ['test/process/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 60_000,
        },
      },
    ],
  },
});

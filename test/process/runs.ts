/**
 * How often a test repeats what must hold every time: all of it with `TEST_RUNS=full`, a tenth in the suite of every day.
 */
export function runs(full: number): number {
  const asked = process.env.TEST_RUNS;
  if (asked !== undefined && asked !== 'full')
    throw new Error(`TEST_RUNS is ${asked}, allowed: full, or not set`);
  return asked === 'full' ? full : Math.ceil(full / 10);
}

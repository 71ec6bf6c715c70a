/** The subjects that fixtures/blocked.js gives its jobs: `r1`, `r2`, and so on. */
export function all(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `r${index + 1}`);
}

/** Those subjects in the order of their numbers. */
export function sorted(subjects: readonly string[]): string[] {
  return [...subjects].sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
}

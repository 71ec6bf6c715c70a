import { readdirSync, readFileSync } from 'node:fs';

/** The living processes of this machine that have this variable in their environment, by /proc. */
export function pidsWith(name: string, value: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        const [state] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').slice(-1);
        if (state?.startsWith('Z')) return false;
        return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`${name}=${value}`);
      } catch {
        // It has ended since.
        return false;
      }
    });
}

import { readFileSync } from 'node:fs';

/**
 * What the main thread does in native code, as far as the kernel tells: that it computes, or what it waits for, and for which child it
 * may be.
 */
export function nativeHint(): string {
  const stat = read('stat');
  // The name before it may contain anything.
  const state = stat?.slice(stat.lastIndexOf(') ') + 2)[0];
  if (state === undefined) return 'the main thread is in native code';
  if (state === 'R') return 'the main thread computes in native code';
  const place = read('wchan');
  const child = childName();
  return [
    `the main thread waits in native code${place && place !== '0' ? `, in ${place} of the kernel` : ''}`,
    child === undefined ? '' : `, with the child process ${child}`,
  ].join('');
}

/** Its youngest. Only the name: arguments may hold secrets. */
function childName(): string | undefined {
  const pid = read('children')?.trim().split(' ').at(-1);
  if (!pid) return undefined;
  try {
    return `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (${pid})`;
  } catch {
    return undefined;
  }
}

/** Of the main thread; `undefined` where the system has no such file, or it is not for us. */
function read(name: string): string | undefined {
  try {
    return readFileSync(`/proc/self/task/${process.pid}/${name}`, 'latin1');
  } catch {
    return undefined;
  }
}

import { messageOf, ShutdownError } from '../../src/errors.js';

/**
 * The SDK that `load` imports; for one that is not installed an error that says what to install.
 * @throws ShutdownError `PACKAGE_MISSING`
 */
export async function loadPeer<Sdk>(who: string, name: string, load: () => Promise<Sdk>): Promise<Sdk> {
  try {
    return await load();
  } catch (error) {
    const missing = (error as { code?: unknown } | undefined)?.code === 'ERR_MODULE_NOT_FOUND';
    // One of the SDK's own parts that is missing is another story.
    if (!missing || !messageOf(error).includes(name)) throw error;
    const advice = `the ${who} notifier needs a package that is not installed: npm install ${name}`;
    throw new ShutdownError('PACKAGE_MISSING', advice, { cause: error });
  }
}

/** `work`, or a rejection with the signal's reason as soon as it aborts; `work` then ends unseen. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** At most `most` bytes of UTF-8 from the beginning of a text, whole characters only. */
export function cutText(text: string, most: number): string {
  const bytes = Buffer.from(text);
  let end = Math.min(bytes.length, most);
  while (end < bytes.length && ((bytes[end] as number) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}

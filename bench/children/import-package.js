// @ts-check
// import-package.js <package> [count-files]: prints the milliseconds that its import took, and what it loaded.
import { register } from 'node:module';

const [, , name, countFiles] = process.argv;
/** Shared with the thread of the hooks. */
const files = new Int32Array(new SharedArrayBuffer(4));
// The hooks take time of their own, so they are only there when nobody reads the clock.
if (countFiles) register('./count-files.js', import.meta.url, { data: files });

const loadedBefore = loadedBuiltins();
const startedAt = performance.now();
await import(name ?? '');
const ms = performance.now() - startedAt;
const answer = { ms, builtins: loadedBuiltins() - loadedBefore, files: files[0] };
process.stdout.write(`${JSON.stringify(answer)}\n`);

function loadedBuiltins() {
  return /** @type {{ moduleLoadList: string[] }} */ (/** @type {unknown} */ (process)).moduleLoadList.length;
}

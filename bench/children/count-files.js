// @ts-check
// Module hooks that count the files which an import reads.

/** @type {Int32Array} */
let files;

/** @param {Int32Array} data */
export function initialize(data) {
  files = data;
}

/** @type {import('node:module').LoadHook} */
export function load(url, context, nextLoad) {
  if (url.startsWith('file:')) Atomics.add(files, 0, 1);
  return nextLoad(url, context);
}

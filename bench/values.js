// @ts-check

/**
 * Reads an option that is a whole number from `least` to `most`.
 * @param {string} name
 * @param {string | undefined} text
 * @param {number} most
 * @param {number} [least]
 * @returns {number | undefined} nothing if it was not given
 * @throws {Error} that says what it got and what is allowed
 */
export function readWhole(name, text, most, least = 1) {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new Error(`${name} is ${JSON.stringify(text)}; allowed: a whole number from ${least} to ${most}`);
}

/**
 * Reads an option that lists names, with commas between them.
 * @param {string} name
 * @param {string | undefined} text
 * @param {readonly string[]} allowed
 * @returns {readonly string[]} all of them if it was not given
 * @throws {Error} that says what it got and what is allowed
 */
export function readNames(name, text, allowed) {
  if (text === undefined) return allowed;
  const names = text.split(',').map((one) => one.trim());
  const stranger = names.find((one) => !allowed.includes(one));
  if (stranger === undefined) return [...new Set(names)];
  throw new Error(`${name} has ${JSON.stringify(stranger)}; allowed: ${allowed.join(', ')}`);
}

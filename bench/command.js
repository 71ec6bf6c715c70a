// @ts-check

/**
 * Does what the command line asks for: what is wrong with it, the help, or the work. An error becomes one line and exit code 1.
 * @template {{ help?: boolean | undefined }} T
 * @param {T | string} wanted what was read, or the text that says why nothing can be done
 * @param {string} help
 * @param {(wanted: T) => Promise<void>} main
 */
export async function carryOut(wanted, help, main) {
  if (typeof wanted === 'string') {
    console.error(wanted);
    process.exitCode = 1;
  } else if (wanted.help) {
    console.log(help);
  } else {
    try {
      await main(wanted);
    } catch (error) {
      console.error(/** @type {Error} */ (error).message);
      process.exitCode = 1;
    }
  }
}

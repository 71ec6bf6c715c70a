/** Whether a package can be found from here. */
export function isInstalled(name: string): boolean {
  try {
    process
      .getBuiltinModule('node:module')
      .createRequire(import.meta.url)
      .resolve(name);
    return true;
  } catch (error) {
    // A package may be there without an entry for require().
    return (error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
  }
}

/** Where the files of this package are, beside the folder of this one, built or not. An application beside them, such as its tests, is in none of these. */
const FOLDERS = ['children', 'cli', 'http', 'notifiers', 'queues', 'src', 'stores', 'supervisor'];
const OWN = ownPlaces(import.meta.url);

/** The first line of the stack outside of this package. */
export function callSite(): string | undefined {
  const lines = new Error().stack?.split('\n').slice(1) ?? [];
  const line = lines.find((text) => !OWN.some((own) => text.includes(own)));
  return line?.trim().replace(/^at (?:.* \()?(.*?)\)?$/, '$1');
}

function ownPlaces(file: string): readonly string[] {
  // In a bundle of the application this is not our file alone, and what is beside it is not ours at all.
  const places = /\/src\/[^/]+$/.test(file)
    ? FOLDERS.map((folder) => new URL(`../${folder}/`, file))
    : [new URL(file)];
  // A stack has URLs or paths.
  return places.flatMap(({ href, pathname }) => [href, decodeURI(pathname)]);
}

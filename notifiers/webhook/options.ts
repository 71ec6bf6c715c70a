import { validateHeaderName, validateHeaderValue } from 'node:http';
import { Webhook } from 'standardwebhooks';
import { ShutdownError } from '../../src/errors.js';

/** Written by the notifier itself. */
const OWN_HEADERS = /^(content-length|transfer-encoding|webhook-(id|timestamp|signature))$/i;

/** `value` if it is a whole number from `least` up. @throws ShutdownError `INVALID_OPTION` */
export function checkedLimit(option: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw invalid(`${option} is ${String(value)}; it must be a whole number from ${least} up`);
}

/** `name` if there is one. @throws ShutdownError `INVALID_OPTION` */
export function checkedName(name: string): string {
  if (typeof name === 'string' && name !== '') return name;
  throw invalid('name is empty; logs and reports show it');
}

/** An http or https address. @throws ShutdownError `INVALID_OPTION`, without showing it */
export function checkedUrl(given: string | URL): URL {
  const url = URL.canParse(String(given)) ? new URL(String(given)) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  // Not shown, and no cause either: what was given may hold credentials.
  throw invalid('url must be an absolute address that begins with http:// or https://');
}

/** The signer of a base64 secret. @throws ShutdownError `INVALID_OPTION`, without showing it */
export function checkedSecret(secret: string): Webhook {
  try {
    return new Webhook(secret.trim());
  } catch {
    throw invalid('secret is not base64; take it as the receiver shows it, with or without whsec_ in front');
  }
}

/** Headers with names in lower case. @throws ShutdownError `INVALID_OPTION`, without showing values */
export function checkedHeaders(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  const checked: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (OWN_HEADERS.test(name)) throw invalid(`headers: ${name} is written by the notifier; leave it out`);
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch {
      throw invalid(`headers: ${JSON.stringify(name)} has a name or a value that HTTP does not allow`);
    }
    checked[name.toLowerCase()] = value;
  }
  return checked;
}

function invalid(problem: string): ShutdownError {
  return new ShutdownError('INVALID_OPTION', `webhookNotifier: ${problem}`);
}

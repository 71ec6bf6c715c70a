import { messageOf } from '../errors.js';
import type { SealingKey } from '../jobs/sealing.js';
import type { EnvironmentReader } from './environment-reader.js';
import { isInstalled } from './installed.js';

/** A store as the environment describes it: its kind and the options of its factory. */
export interface StoreSettings {
  readonly kind: 'lmdb' | 'redis';
  readonly options: Readonly<Record<string, unknown>>;
}

const ALLOWED = 'memory, lmdb:<folder>, redis://[user:password@]host[:port][/database] or rediss://…';
const REDIS = /^rediss?:\/\/[^/?#\s]+(?:\/\d{0,4})?$/;
const PACKAGES = { lmdb: 'lmdb', redis: 'ioredis' } as const;

/** `SHUTDOWN_STORE`; `undefined` for memory. An address may hold a password. */
export function readStore(reader: EnvironmentReader, loads: boolean): StoreSettings | undefined {
  const text = reader.text('STORE');
  if (text === undefined || text === 'memory') return undefined;
  const settings = settingsOf(text);
  if (settings === undefined) return reader.badSecret('STORE', text, ALLOWED);
  const name = PACKAGES[settings.kind];
  if (!loads || isInstalled(name)) return settings;
  reader.problems.push(
    `SHUTDOWN_STORE: ${settings.kind} needs ${name}, which is not installed; run: npm install ${name}`,
  );
  return undefined;
}

function settingsOf(text: string): StoreSettings | undefined {
  if (text.startsWith('lmdb:') && text.length > 'lmdb:'.length)
    return { kind: 'lmdb', options: { path: text.slice('lmdb:'.length) } };
  if (REDIS.test(text) && URL.canParse(text)) return { kind: 'redis', options: { url: text } };
  return undefined;
}

const KEY_FORM =
  '<id>:<32 bytes in base64>, the newest first, with commas between; make one with: openssl rand -base64 32';

/** `SHUTDOWN_STORE_KEY`, or the file that `SHUTDOWN_STORE_KEY_FILE` names. */
export function readStoreKeys(reader: EnvironmentReader): readonly SealingKey[] | undefined {
  const text = reader.text('STORE_KEY');
  const path = reader.text('STORE_KEY_FILE');
  if (text !== undefined && path !== undefined)
    return reader.badSecret('STORE_KEY', text, 'either this or SHUTDOWN_STORE_KEY_FILE, not both');
  if (path === undefined) return text === undefined ? undefined : parseKeys(reader, 'STORE_KEY', text);
  try {
    const { readFileSync } = process.getBuiltinModule('node:fs');
    return parseKeys(reader, 'STORE_KEY_FILE', readFileSync(path, 'utf8').trim());
  } catch (error) {
    return reader.bad('STORE_KEY_FILE', path, `a file this process can read (${messageOf(error)})`);
  }
}

function parseKeys(reader: EnvironmentReader, name: string, text: string): SealingKey[] | undefined {
  const keys = text.split(/[,\n]/).map((part) => parseKey(part.trim()));
  const ids = keys.map((key) => key?.id);
  if (keys.every((key) => key !== undefined) && new Set(ids).size === ids.length) return keys;
  return reader.badSecret(name, text, KEY_FORM);
}

function parseKey(text: string): SealingKey | undefined {
  const match = /^([\w-]{1,32}):([A-Za-z0-9+/_-]{43}=?)$/.exec(text);
  if (!match) return undefined;
  return { id: match[1] as string, secret: Buffer.from(match[2] as string, 'base64') };
}

import { messageOf, ShutdownError } from '../errors.js';

/** A key for payloads at rest. */
export interface SealingKey {
  /** Written beside what it sealed, so that keys can change. */
  readonly id: string;
  /** 32 bytes. */
  readonly secret: Buffer;
}

/**
 * Encrypts texts at rest with AES-256-GCM. The first key seals, all of them open: a new key is put before the old one,
 * which can go when nothing is left that it sealed.
 *
 * ```
 * <key id>.<base64url of: 12 bytes nonce, 16 bytes tag, the encrypted text>
 * ```
 * @see https://csrc.nist.gov/pubs/sp/800/38/d/final
 */
export class Sealer {
  readonly #keys: readonly SealingKey[];
  readonly #crypto = process.getBuiltinModule('node:crypto');

  /** @param keys at least one. */
  constructor(keys: readonly SealingKey[]) {
    this.#keys = keys;
  }

  /** @param place what the text belongs to; it can be opened for no other place. */
  seal(text: string, place: string): string {
    const { id, secret } = this.#keys[0] as SealingKey;
    const nonce = this.#crypto.randomBytes(12);
    const cipher = this.#crypto.createCipheriv('aes-256-gcm', secret, nonce).setAAD(Buffer.from(place));
    const encrypted = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return `${id}.${Buffer.concat([nonce, cipher.getAuthTag(), encrypted]).toString('base64url')}`;
  }

  /** @throws {ShutdownError} `STORE_FAILED` for a key this process does not have, or a text that was changed. */
  open(sealed: string, place: string): string {
    const at = sealed.indexOf('.');
    const key = this.#keys.find(({ id }) => id === sealed.slice(0, at));
    if (key === undefined) throw missingKey(sealed.slice(0, at));
    const bytes = Buffer.from(sealed.slice(at + 1), 'base64url');
    try {
      const decipher = this.#crypto.createDecipheriv('aes-256-gcm', key.secret, bytes.subarray(0, 12), {
        authTagLength: 16,
      });
      decipher.setAAD(Buffer.from(place)).setAuthTag(bytes.subarray(12, 28));
      return decipher.update(bytes.subarray(28), undefined, 'utf8') + decipher.final('utf8');
    } catch (error) {
      throw new ShutdownError(
        'STORE_FAILED',
        `sealed with another key under the id "${key.id}" than this process has, or changed since: ${messageOf(error)}`,
      );
    }
  }
}

/** What a process without any key says to something sealed. */
export function missingKey(id: string): ShutdownError {
  return new ShutdownError(
    'STORE_FAILED',
    `sealed with key "${id}", which this process does not have; add it to SHUTDOWN_STORE_KEY`,
  );
}

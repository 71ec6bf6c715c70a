// @ts-check
import { connect } from 'node:net';

/** What every answer of http-service.js ends with, and nothing before its end does. */
const LAST_BYTE = '!'.charCodeAt(0);

/**
 * A keep-alive connection that asks one request at a time and looks at the last byte of what comes back, so that the
 * client costs much less than the server it measures.
 */
export class Connection {
  /** @type {import('node:net').Socket} */
  #socket;
  /** @type {((answered: boolean) => void) | undefined} */
  #settle = undefined;
  #closed = false;

  /** @param {number} port @param {() => void} [onClose] */
  constructor(port, onClose) {
    const buffer = Buffer.allocUnsafe(4096);
    /** @param {number} length */
    const read = (length) => {
      if (buffer[length - 1] === LAST_BYTE) this.#end(true);
      return true;
    };
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer, callback: read } });
    this.#socket.on('error', () => {});
    this.#socket.once('close', () => {
      this.#closed = true;
      this.#end(false);
      onClose?.();
    });
  }

  /**
   * Asks for `path`; `settle` hears whether the whole answer came.
   * @param {string} path
   * @param {(answered: boolean) => void} settle
   */
  ask(path, settle) {
    this.#settle = settle;
    if (this.#closed) this.#end(false);
    else this.#socket.write(headOf(path), 'latin1');
  }

  close() {
    this.#socket.destroy();
  }

  /** @param {boolean} answered */
  #end(answered) {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(answered);
  }
}

/** @type {Map<string, string>} */
const heads = new Map();

/** @param {string} path */
function headOf(path) {
  const head = heads.get(path) ?? `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
  heads.set(path, head);
  return head;
}

import type { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  constants,
  Http2ServerRequest,
  Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';

/** A request and its response as the application sees them; HTTP/2's look alike where it matters here. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** What closes when the exchange is over: the response, or the HTTP/2 stream. */
  readonly carrier: ServerResponse | ServerHttp2Stream;
  /** Whether the request has come to its end; a body that waits in our buffer has, the application has not read it. */
  readonly arrived: boolean;
}

/** A pair of HTTP/1. */
export class PairExchange implements Exchange {
  readonly request: IncomingMessage;
  readonly carrier: ServerResponse;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.carrier = response;
  }

  get response(): ServerResponse {
    return this.carrier;
  }

  get arrived(): boolean {
    return this.request.complete || this.request.readableLength > 0;
  }
}

/** What tells of the body of a request of HTTP/1. By its method: the headers are made into an object when they are first asked for. */
export function bodyOf(request: IncomingMessage): EventEmitter | undefined {
  const { method } = request;
  return method === 'GET' || method === 'HEAD' ? undefined : request;
}

/** One stream of HTTP/2. An application that works with streams has no such pair, so it is made when it is asked for. */
export class StreamExchange implements Exchange {
  readonly carrier: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  #request: Http2ServerRequest | undefined = undefined;
  #response: Http2ServerResponse | undefined = undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.carrier = stream;
    this.#headers = headers;
  }

  /** The pair that the application got. */
  adopt(request: Http2ServerRequest, response: Http2ServerResponse): void {
    this.#request = request;
    this.#response = response;
  }

  get arrived(): boolean {
    const { endAfterHeaders, state, readableLength } = this.carrier;
    const ended = state.state === constants.NGHTTP2_STREAM_STATE_HALF_CLOSED_REMOTE;
    return endAfterHeaders || ended || readableLength > 0;
  }

  /** What tells of the request's body as it arrives; `undefined` for a request without one. */
  get body(): EventEmitter | undefined {
    return this.carrier.endAfterHeaders ? undefined : this.carrier;
  }

  get request(): IncomingMessage {
    this.#request ??= new Http2ServerRequest(this.carrier, this.#headers, {}, []);
    return this.#request as unknown as IncomingMessage;
  }

  get response(): ServerResponse {
    this.#response ??= this.#makeResponse();
    return this.#response as unknown as ServerResponse;
  }

  /** Without its own trailers: the application may send some, which it can do only once. */
  #makeResponse(): Http2ServerResponse {
    const before = this.carrier.listeners('wantTrailers');
    const response = new Http2ServerResponse(this.carrier);
    for (const listener of this.carrier.listeners('wantTrailers'))
      if (!before.includes(listener)) this.carrier.off('wantTrailers', listener as () => void);
    return response;
  }
}

/** Whether a response belongs to HTTP/2, which has neither a Connection header nor a reason phrase. */
export function isHttp2Response(response: ServerResponse): boolean {
  return 'stream' in response;
}

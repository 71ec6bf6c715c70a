// What the examples and tests use of two packages that bring no types of their own.

declare module 'express' {
  import type { IncomingMessage, Server, ServerResponse } from 'node:http';

  export interface Request extends IncomingMessage {
    readonly params: Readonly<Record<string, string>>;
    readonly query: Readonly<Record<string, string | undefined>>;
    readonly body: unknown;
  }
  export interface Response extends ServerResponse {
    send(body: string): this;
    sendStatus(code: number): this;
    json(body: unknown): this;
  }
  type Next = (error?: unknown) => void;
  type Handler = (request: Request, response: Response, next: Next) => unknown;
  export type ErrorRequestHandler = (
    error: unknown,
    request: Request,
    response: Response,
    next: Next,
  ) => void | Promise<void>;
  interface Application {
    (request: IncomingMessage, response: ServerResponse): void;
    get(path: string, handler: Handler): this;
    post(path: string, handler: Handler): this;
    use(handler: Handler | ErrorRequestHandler): this;
    listen(port: number, host: string, callback?: (error?: Error) => void): Server;
  }
  const express: { (): Application; json(): Handler };
  export default express;
}

declare module 'koa' {
  import type { EventEmitter } from 'node:events';
  import type { IncomingMessage, Server, ServerResponse } from 'node:http';

  export interface Context {
    readonly req: IncomingMessage;
    readonly res: ServerResponse;
    readonly method: string;
    readonly path: string;
    readonly query: Readonly<Record<string, string | undefined>>;
    status: number;
    body: unknown;
    /** `false`: Koa leaves the response alone. */
    respond: boolean;
  }
  export default class Koa extends EventEmitter {
    silent: boolean;
    use(middleware: (ctx: Context, next: () => Promise<void>) => unknown): this;
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
    listen(port: number, host: string, callback?: () => void): Server;
  }
}

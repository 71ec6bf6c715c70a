import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An answer of SNS in its Query protocol. */
export interface SnsAnswer {
  readonly status: number;
  readonly body: string;
}

/** A request as it came in. */
export interface SnsRequest {
  readonly headers: IncomingHttpHeaders;
  /** The form of the Query protocol, parsed. */
  readonly form: URLSearchParams;
}

/** An HTTP server in the place of SNS, for the answers that a working one does not give. */
export interface ScriptedSns {
  readonly endpoint: string;
  /** Every request so far, in order. */
  readonly requests: readonly SnsRequest[];
  stop(): Promise<void>;
}

/** Answers each request as told; `undefined` leaves it without an answer. */
export async function startScriptedSns(
  answer: (request: SnsRequest) => SnsAnswer | undefined,
): Promise<ScriptedSns> {
  const requests: SnsRequest[] = [];
  const server = createServer(async (incoming, response) => {
    let text = '';
    for await (const chunk of incoming.setEncoding('utf8')) text += chunk;
    const request = { headers: incoming.headers, form: new URLSearchParams(text) };
    requests.push(request);
    const given = answer(request);
    if (given) response.writeHead(given.status, { 'content-type': 'text/xml' }).end(given.body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** An error for the call as a whole. */
export function snsError(status: number, code: string, message = 'as the script says'): SnsAnswer {
  const type = status < 500 ? 'Sender' : 'Receiver';
  const error = `<Error><Type>${type}</Type><Code>${code}</Code><Message>${message}</Message></Error>`;
  return { status, body: `<ErrorResponse>${error}<RequestId>1</RequestId></ErrorResponse>` };
}

/** A `PublishBatch` result: `failed` by entry id, the other ids up to `count` were taken. */
export function snsPartialFailure(
  count: number,
  failed: Readonly<Record<string, { readonly code: string; readonly senderFault: boolean }>>,
): SnsAnswer {
  const ids = Array.from({ length: count }, (_, index) => String(index));
  const taken = ids.filter((id) => !(id in failed));
  const members = taken.map((id) => `<member><Id>${id}</Id><MessageId>m${id}</MessageId></member>`);
  const refused = Object.entries(failed).map(
    ([id, { code, senderFault }]) =>
      `<member><Id>${id}</Id><Code>${code}</Code><Message>no</Message><SenderFault>${senderFault}</SenderFault></member>`,
  );
  const result = `<Successful>${members.join('')}</Successful><Failed>${refused.join('')}</Failed>`;
  const body = `<PublishBatchResponse><PublishBatchResult>${result}</PublishBatchResult></PublishBatchResponse>`;
  return { status: 200, body };
}

/** What a process says of itself in the store, for those who survive it. */
export interface OwnerAccount {
  readonly service: string;
  readonly host: string;
  readonly pid: number;
  /** RFC 3339. */
  readonly startedAt?: string | undefined;
  /** RFC 3339: its last heartbeat. */
  readonly seenAt?: string | undefined;
  /** Resident memory at that time. */
  readonly rssBytes?: number | undefined;
  /** Why it had begun to stop, in one word. */
  readonly stopping?: string | undefined;
  /** The same, once it had reported what it could. */
  readonly stopped?: string | undefined;
}

/** Writes it down. */
export function writeAccount(account: OwnerAccount): string {
  return JSON.stringify(account);
}

/** Reads it; what is missing or cannot be read is `unknown`. */
export function readAccount(text: string): OwnerAccount {
  const { service, host, pid, seenAt, rssBytes, stopping, stopped } = parse(text);
  return {
    service: textOr(service, 'unknown-service'),
    host: textOr(host, 'unknown'),
    pid: typeof pid === 'number' ? pid : 0,
    seenAt: typeof seenAt === 'string' ? seenAt : undefined,
    rssBytes: typeof rssBytes === 'number' ? rssBytes : undefined,
    stopping: word(stopping),
    stopped: word(stopped),
  };
}

/** What is known of an end, on one line. */
export function tellDeath({ host, pid, seenAt, rssBytes, stopping, stopped }: OwnerAccount): string {
  const who = `process ${pid} on ${host}`;
  if (stopped !== undefined) return `${who} ended (${stopped}) before anybody had taken the report`;
  const doing = stopping === undefined ? 'without a word' : `during its shutdown (${stopping})`;
  const memory = rssBytes === undefined ? '' : ` with ${Math.round(rssBytes / 2 ** 20)} MiB resident`;
  const seen = seenAt === undefined ? '' : `, last seen ${seenAt}${memory}`;
  return `${who} ended ${doing}${seen}`;
}

function parse(text: string): Partial<Record<keyof OwnerAccount, unknown>> {
  try {
    return (JSON.parse(text) ?? {}) as Partial<Record<keyof OwnerAccount, unknown>>;
  } catch {
    return {};
  }
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

function word(value: unknown): string | undefined {
  return typeof value === 'string' && /^\w+$/.test(value) ? value : undefined;
}

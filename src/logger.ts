/** Where the package says what it does; `console` and most logging libraries fit. */
export interface Logger {
  info(line: string): void;
  warn(line: string): void;
  error(line: string): void;
}

/** One line a fact on stderr, so that stdout stays the service's own. */
export const stderrLogger: Logger = { info: writeLine, warn: writeLine, error: writeLine };

let listening = false;

function writeLine(line: string): void {
  // A reader of stderr that has gone would make every line an uncaughtException, and that another line.
  if (!listening) process.stderr.on('error', () => {});
  listening = true;
  process.stderr.write(`${line}\n`);
}

/** How every line of one bus begins: with the instance's id. */
export function logPrefix(service: string, instanceId: string): string {
  return `shutdown-bus ${instanceId} ${service}: `;
}

/** Wraps a logger so that every line starts with the instance's id, stays one line, and a logger that throws disturbs nothing. */
export function createInstanceLogger(logger: Logger, service: string, instanceId: string): Logger {
  const prefix = logPrefix(service, instanceId);
  const guarded = (level: keyof Logger) => (line: string) => {
    try {
      const written: unknown = logger[level](prefix + line.replace(/\s*\n\s*/g, ' '));
      if (written instanceof Promise) written.catch(() => {});
    } catch {
      // There is nowhere left to say it.
    }
  };
  return { info: guarded('info'), warn: guarded('warn'), error: guarded('error') };
}

/** The logger of whatever belongs to this bus. */
export function loggerOf(bus: {
  readonly config: { readonly logger: Logger; readonly service: string };
  readonly instanceId: string;
}): Logger {
  return createInstanceLogger(bus.config.logger, bus.config.service, bus.instanceId);
}

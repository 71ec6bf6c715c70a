/** Where the package says what it does; `console` and most logging libraries fit. */
export interface Logger {
  info(line: string): void;
  warn(line: string): void;
  error(line: string): void;
}

/** One line a fact on stderr, so that stdout stays the service's own. */
export const stderrLogger: Logger = {
  info: (line) => void process.stderr.write(`${line}\n`),
  warn: (line) => void process.stderr.write(`${line}\n`),
  error: (line) => void process.stderr.write(`${line}\n`),
};

/** How every line of one bus begins: with the instance's id. */
export function logPrefix(service: string, instanceId: string): string {
  return `shutdown-bus ${instanceId} ${service}: `;
}

/** Wraps a logger so that every line starts with the instance's id, stays one line, and a logger that throws disturbs nothing. */
export function createInstanceLogger(logger: Logger, service: string, instanceId: string): Logger {
  const prefix = logPrefix(service, instanceId);
  const guarded = (level: keyof Logger) => (line: string) => {
    try {
      logger[level](prefix + line.replace(/\s*\n\s*/g, ' '));
    } catch {
      // There is nowhere left to say it.
    }
  };
  return { info: guarded('info'), warn: guarded('warn'), error: guarded('error') };
}

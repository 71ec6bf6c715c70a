export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads one variable after the other and remembers what was wrong instead of stopping at the first. */
export class EnvironmentReader {
  readonly problems: string[] = [];
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  /** An empty variable counts as unset: that is how deployment templates leave one out. */
  text(name: string): string | undefined {
    const value = this.#env[`SHUTDOWN_${name}`]?.trim();
    return value === '' ? undefined : value;
  }

  list(name: string): string[] | undefined {
    const items = this.text(name)
      ?.split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
    return items?.length ? items : undefined;
  }

  milliseconds(name: string, least: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= 86_400_000) return value;
    return this.bad(name, text, `a whole number of milliseconds from ${least} to 86400000`);
  }

  choice<const T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined || (allowed as readonly string[]).includes(text)) return text as T | undefined;
    return this.bad(name, text, allowed.join(' or '));
  }

  bad(name: string, value: string | undefined, allowed: string): undefined {
    this.problems.push(
      `SHUTDOWN_${name}: got ${value === undefined ? 'nothing' : JSON.stringify(value)}; allowed: ${allowed}`,
    );
    return undefined;
  }

  badSecret(name: string, value: string | undefined, allowed: string): undefined {
    const got = value === undefined ? 'nothing' : `a text of ${value.length} characters (not shown)`;
    this.problems.push(`SHUTDOWN_${name}: got ${got}; allowed: ${allowed}`);
    return undefined;
  }
}

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const FIXTURES = fileURLToPath(new URL('../process/fixtures/', import.meta.url));
const running = new Set<ChildProcess>();

/** A service in a process of its own: what it wrote, and how it ended. */
export class ChildService {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #waiters = new Set<() => void>();

  constructor(fixture: string, args: readonly string[] = []) {
    this.process = spawn(process.execPath, [`${FIXTURES}${fixture}`, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(this.process);
    this.process.stdout?.on('data', (chunk) => this.#grow('stdout', chunk));
    this.process.stderr?.on('data', (chunk) => this.#grow('stderr', chunk));
    this.exited = new Promise((resolve) =>
      this.process.once('close', (code, signal) => {
        running.delete(this.process);
        resolve({ code, signal });
      }),
    );
  }

  /** The rest of the first line that begins with this word. */
  async line(word: string): Promise<string> {
    const pattern = new RegExp(`^${word} (.*)\\n`, 'm');
    return new Promise((resolve, reject) => {
      const check = () => {
        const found = pattern.exec(this.stdout);
        if (found === null) return;
        this.#waiters.delete(check);
        resolve(found[1] as string);
      };
      this.#waiters.add(check);
      void this.exited.then(() => reject(new Error(`no line "${word}" in ${this.stdout}${this.stderr}`)));
      check();
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  #grow(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    this[stream] += chunk.toString();
    for (const waiter of this.#waiters) waiter();
  }
}

/** No test leaves a process behind. */
export function killServices(): void {
  for (const child of running) child.kill('SIGKILL');
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startPubsubFake } from './pubsub-fake.js';
import type { PubsubServer } from './pubsub-inbox.js';
import { deadPort } from './silent-server.js';

const LIBRARY = '/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib';
const STARTING_MS = 45_000;

/**
 * Starts Google's emulator, or our fake where there is no jar or no `java`; then one line on stderr says so.
 * The jar is `PUBSUB_EMULATOR_JAR`, else that of the Debian package `google-cloud-cli-pubsub-emulator`.
 */
export async function startPubsub(): Promise<PubsubServer> {
  const jar = process.env.PUBSUB_EMULATOR_JAR || installedJar();
  const lacking = jar === undefined ? `no jar in ${LIBRARY} and no PUBSUB_EMULATOR_JAR` : undefined;
  const why = lacking ?? (await javaMissing());
  if (jar !== undefined && why === undefined) return startEmulator(jar);
  process.stderr.write(`pubsub: the fake in place of the emulator: ${why}\n`);
  return startPubsubFake();
}

async function startEmulator(jar: string): Promise<PubsubServer> {
  const port = await deadPort();
  const host = `127.0.0.1:${port}`;
  const child = spawn('java', ['-jar', jar, '--host=127.0.0.1', `--port=${port}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-4000);
  });
  const exited = once(child, 'exit');
  // A test run that dies must not leave a Java process behind.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  try {
    await untilAnswering(host, child);
  } catch (error) {
    kill();
    throw new Error(`the Pub/Sub emulator did not start: ${String(error)}\n${log}`);
  }
  return {
    kind: 'emulator',
    host,
    async stop() {
      process.removeListener('exit', kill);
      kill();
      await exited;
    },
  };
}

async function untilAnswering(host: string, child: ChildProcess): Promise<void> {
  const end = Date.now() + STARTING_MS;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`it exited with ${child.exitCode}`);
    const answer = await fetch(`http://${host}/v1/projects/inbox/topics`).catch(() => undefined);
    if (answer?.ok) return;
    if (Date.now() > end) throw new Error(`no answer in ${STARTING_MS} ms`);
    await pause(50);
  }
}

function installedJar(): string | undefined {
  if (!existsSync(LIBRARY)) return undefined;
  const jar = readdirSync(LIBRARY).find((name) => /^cloud-pubsub-emulator-.*-all\.jar$/.test(name));
  return jar && join(LIBRARY, jar);
}

async function javaMissing(): Promise<string | undefined> {
  const child = spawn('java', ['-version'], { stdio: 'ignore' });
  const ended = await Promise.race([once(child, 'exit'), once(child, 'error')]).catch((error) => [error]);
  return ended[0] === 0 ? undefined : 'no java that runs';
}

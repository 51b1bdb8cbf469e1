import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inject } from 'vitest';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { settingsFor } from './database.ts';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

/** A machine that has other things to do takes its time to start a database. */
const STARTS_WITHIN_SECONDS = 60;

export type ServiceProcess = {
  child: ChildProcess;
  origin: string;
  /** All that it has printed. */
  said(): string;
  post(route: string, body: object): Promise<Response>;
  /** The state of each dependency, and the status. */
  readiness(): Promise<{ status: number; dependencies: Record<string, string> }>;
  /** With SIGKILL: nothing is finished. */
  kill(): Promise<void>;
  stop(): Promise<void>;
};

/**
 * The service as a process of its own on a database of the test, once it is ready. @param settings PORT among them to start
 * again where one was @param code the folder of another version of it
 */
export async function serviceProcess(
  address: DatabaseAddress,
  settings: Record<string, string> = {},
  code = process.cwd(),
): Promise<ServiceProcess> {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-process-'));
  const port = Number(settings['PORT'] ?? (await freePort()));
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: code,
    env: {
      PATH: process.env['PATH'],
      DATA_DIR: folder,
      KEYS_DIR: inject('keysDir'),
      PORT: String(port),
      LOG_LEVEL: 'warn',
      SHUTDOWN_DRAIN_SECONDS: '0', // there is no balancer that must learn of it
      SECRET_KEY: 'the-secret-key-of-the-tests-and-of-nothing-else',
      FERNET_KEY: 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=',
      ARGON2_MEMORY_KIB: '7168',
      ARGON2_TIME_COST: '1',
      RATE_LIMIT_PER_IP: '10000/second',
      RATE_LIMIT_REGISTER: '10000/second',
      ...settingsFor(address),
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      said += chunk;
    });
  }
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const origin = `http://127.0.0.1:${port}`;
  const end = (signal: NodeJS.Signals) => async () => {
    child.kill(signal);
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  await until(
    'the service is ready',
    async () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${said}`);
      return (await fetch(`${origin}/health/ready`).catch(() => null))?.status === 200;
    },
    STARTS_WITHIN_SECONDS,
  ).catch(async (error) => {
    if (child.exitCode === null) await end('SIGKILL')();
    throw new Error(`${error instanceof Error ? error.message : error}; it said: ${said}`);
  });
  return {
    child,
    origin,
    said: () => said,
    post: (route, body) =>
      fetch(`${origin}/api/auth/${route}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    async readiness() {
      const answer = await fetch(`${origin}/health/ready`);
      const { dependencies } = (await answer.json()) as { dependencies: Record<string, string> };
      return { status: answer.status, dependencies };
    },
    kill: end('SIGKILL'),
    stop: end('SIGTERM'),
  };
}

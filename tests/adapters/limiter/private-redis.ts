import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export type PrivateRedis = {
  url: string;
  /** SIGSTOP: connections stay open, nothing answers. */
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
  /** On the same port, with nothing remembered. */
  start(): Promise<void>;
  stop(): Promise<void>;
};

/** A Redis of one test file, to be killed and frozen; needs `redis-server` (or REDIS_SERVER, a Valkey for example) on PATH. */
export async function privateRedis(): Promise<PrivateRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-redis-'));
  let child: ChildProcess;
  let port = 0;

  const launch = async (onPort: number): Promise<boolean> => {
    const options = ['--port', String(onPort), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder];
    child = spawn(process.env['REDIS_SERVER'] ?? 'redis-server', options, { stdio: ['ignore', 'pipe', 'inherit'] });
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => resolve(false));
      child.stdout?.on('data', (text) => String(text).includes('eady to accept connections') && resolve(true));
    });
  };
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };

  for (let attempt = 0; port === 0; attempt += 1) {
    const candidate = 20_000 + Math.floor(Math.random() * 10_000);
    if (await launch(candidate)) port = candidate;
    else if (attempt > 5) throw new Error('redis-server does not start');
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    kill,
    async start() {
      if (!(await launch(port))) throw new Error('redis-server does not start again');
    },
    async stop() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Asks until the answer is yes. @throws after five seconds */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 5000;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error('it did not come true within five seconds');
    await delay(20);
  }
}

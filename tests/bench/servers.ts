import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The servers that are measured, each a process of its own, as its users run it. */
export type Server = { port: number; rssMb(): number; stop(): Promise<void> };

const PLENTY = '100000000/second';
/** Compiled as `npm ci` does: none has started yet. */
const COMPILED = mkdtempSync(path.join(tmpdir(), 'latchkey-bench-compiled-'));
execFileSync(process.execPath, ['tools/runtime/compile.mjs'], { env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: COMPILED } });
process.on('exit', () => rmSync(COMPILED, { recursive: true, force: true }));

export async function startLatchkey(databaseUrl: string, port: number): Promise<Server> {
  const dir = mkdtempSync(path.join(tmpdir(), 'latchkey-bench-'));
  const limits = ['GLOBAL', 'PER_IP', 'PER_USER', 'LOGIN', 'REGISTER', 'PASSWORD_RESET'].map((name) => [`RATE_LIMIT_${name}`, PLENTY]);
  const args = ['--max-semi-space-size=4', '--import', './tools/runtime/check-node.mjs', 'src/main.ts'];
  const server = await startNode(args, port, '/health/ready', process.cwd(), {
    ...Object.fromEntries(limits),
    DATABASE_URL: databaseUrl,
    DATA_DIR: path.join(dir, 'data'),
    KEYS_DIR: path.join(dir, 'keys'),
    LOG_LEVEL: 'warn',
    NODE_COMPILE_CACHE: COMPILED,
    MALLOC_ARENA_MAX: '2', // as with npm start
  });
  return {
    ...server,
    async stop() {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Installs it at first use: it is no dependency of the project. */
export async function startBetterAuth(databaseUrl: string, port: number): Promise<Server> {
  const dir = path.join(import.meta.dirname, 'better-auth');
  if (!existsSync(path.join(dir, 'node_modules'))) {
    const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: dir, stdio: 'inherit' });
    if (status !== 0) throw new Error('Better Auth cannot be installed');
  }
  return await startNode(['server.mjs'], port, '/api/auth/ok', dir, { DATABASE_URL: databaseUrl, NODE_ENV: 'production' });
}

async function startNode(args: string[], port: number, readyPath: string, cwd: string, env: Record<string, string>): Promise<Server> {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { PATH: process.env['PATH'], PORT: String(port), ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const deadlineAt = Date.now() + 30_000;
  while (!(await answers(`http://127.0.0.1:${port}${readyPath}`))) {
    if (child.exitCode !== null || Date.now() > deadlineAt) throw new Error(`${args.join(' ')} does not start`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { port, rssMb: () => rssMb(child), stop: () => ended(child) };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

function rssMb(child: ChildProcess): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1];
  return Math.round((Number(kib) * 1024) / 1e6);
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}

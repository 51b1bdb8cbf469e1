import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

/** A redis-server while it runs; needs `redis-server` (or REDIS_SERVER, a Valkey for example) on PATH. */
export type RunningRedis = {
  /** SIGSTOP: connections stay open, nothing answers. */
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
};

/** @param options as redis-server takes them, its port among them @returns null when it does not start, on a taken port for one */
async function launch(folder: string, options: readonly string[]): Promise<RunningRedis | null> {
  const all = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder, ...options];
  const child: ChildProcess = spawn(process.env['REDIS_SERVER'] ?? 'redis-server', all, { stdio: ['ignore', 'pipe', 'inherit'] });
  const isReady = await new Promise<boolean>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => resolve(false));
    child.stdout?.on('data', (text) => String(text).includes('eady to accept connections') && resolve(true));
  });
  if (!isReady) return null;
  return {
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** On a port that the test chose, in a folder of its own. @throws when it does not start */
export async function startRedis(folder: string, options: readonly string[]): Promise<RunningRedis> {
  const running = await launch(folder, options);
  if (running === null) throw new Error('redis-server does not start');
  return running;
}

/** A redis-server with options of the test; what it writes goes with it. */
export type RedisServer = RunningRedis & {
  port: number;
  /** After it was killed: on the same port, with nothing remembered. */
  start(): Promise<void>;
  stop(): Promise<void>;
};

/** On any port; above it by 10,000 a node of a cluster opens another, which stays below the ephemeral ones too. */
export async function redisServer(optionsFor: (port: number) => readonly string[]): Promise<RedisServer> {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-redis-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    for (let attempt = 0; attempt < 6; attempt += 1) {
      const port = await freePort();
      const first = await launch(folder, optionsFor(port));
      if (first === null) continue; // somebody else's tests took the port meanwhile
      let running = first;
      return {
        port,
        freeze: () => running.freeze(),
        thaw: () => running.thaw(),
        kill: () => running.kill(),
        async start() {
          running = await startRedis(folder, optionsFor(port));
        },
        async stop() {
          await running.kill();
          remove();
        },
      };
    }
    throw new Error('redis-server does not start');
  } catch (error) {
    remove();
    throw error;
  }
}

export type PrivateRedis = RedisServer & { url: string };

/** A Redis of one test file, to be killed and frozen. */
export async function privateRedis(): Promise<PrivateRedis> {
  const server = await redisServer((port) => ['--port', String(port)]);
  return { ...server, url: `redis://127.0.0.1:${server.port}` };
}

export type RedisCluster = {
  /** Of two of its nodes: the others are found. */
  url: string;
  /** A key prefix whose limits lie on the primary that `killPrimary` kills: one that the client was not told of. */
  prefixOn(prefix: string): string;
  /** Kills it. @returns how many of the 16384 slots were its */
  killPrimary(): Promise<number>;
  stop(): Promise<void>;
};

/** Three primaries with a replica each, a password, and a failover that begins after a second. */
export async function redisCluster(password: string): Promise<RedisCluster> {
  const nodes: RedisServer[] = [];
  const stop = async () => void (await Promise.all(nodes.map((node) => node.stop())));
  const cli = (port: number, ...words: string[]) =>
    execFileSync('redis-cli', ['--no-auth-warning', '-p', String(port), ...words], {
      encoding: 'utf8',
      env: { ...process.env, REDISCLI_AUTH: password },
    });
  try {
    for (let count = 0; count < 6; count += 1) {
      nodes.push(
        await redisServer((port) => [
          ...['--port', String(port), '--requirepass', password, '--masterauth', password],
          ...['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--repl-diskless-sync-delay', '0'],
        ]),
      );
    }
    const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
    cli(nodes[0]?.port ?? 0, '--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes');
    // A replica that has never been in step is not elected.
    await until('the replicas are in step', () =>
      nodes.every(
        ({ port }) =>
          !cli(port, 'info', 'replication').includes('master_link_status:down') &&
          cli(port, 'cluster', 'info').includes('cluster_state:ok'),
      ),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: nodes
      .slice(0, 2)
      .map(({ port }) => `redis://:${password}@127.0.0.1:${port}`)
      .join(','),
    prefixOn: (prefix) => {
      const third = slotsOf(cli(nodes[2]?.port ?? 0, 'cluster', 'nodes'));
      for (let tried = 0; ; tried += 1) {
        const slot = Number(cli(nodes[0]?.port ?? 0, 'cluster', 'keyslot', `{${prefix}${tried}}`));
        if (slot >= third.from && slot <= third.to) return `${prefix}${tried}`;
      }
    },
    async killPrimary() {
      const { from, to } = slotsOf(cli(nodes[2]?.port ?? 0, 'cluster', 'nodes'));
      await nodes[2]?.kill();
      return to - from + 1;
    },
    stop,
  };
}

/** The slots of the node that was asked. */
function slotsOf(nodes: string): { from: number; to: number } {
  const own = nodes.split('\n').find((line) => line.includes('myself,master'));
  const [from = 0, to = 0] = (own?.split(' ')[8] ?? '').split('-').map(Number);
  return { from, to };
}

export type Certificates = { ca: string; options: string[]; remove(): void };

/** A CA of the test, and the options that make a redis-server show a certificate of it for 127.0.0.1 and localhost. */
export function redisCertificates(): Certificates {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-redis-tls-'));
  const at = (name: string) => path.join(folder, name);
  const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  openssl('req', '-x509', ...key, '-subj', '/CN=Test CA', '-keyout', at('ca.key'), '-out', at('ca.pem'));
  const names = [
    '-subj',
    '/CN=localhost',
    '-addext',
    'subjectAltName=DNS:localhost,IP:127.0.0.1',
    '-addext',
    'basicConstraints=critical,CA:false',
  ];
  openssl(
    'req',
    '-x509',
    ...key,
    ...names,
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-keyout',
    at('redis.key'),
    '-out',
    at('redis.pem'),
  );
  return {
    ca: readFileSync(at('ca.pem'), 'utf8'),
    options: ['--tls-cert-file', at('redis.pem'), '--tls-key-file', at('redis.key'), '--tls-auth-clients', 'no'],
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

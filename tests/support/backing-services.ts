import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startEmbeddedPostgres } from '#infrastructure/embedded/embedded-postgres.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { privateRedis } from './redis-servers.ts';

/**
 * Real servers for the tests: those of the environment (TEST_DATABASE_URL, TEST_REDIS_URL), else containers, else the
 * embedded PostgreSQL and a `redis-server` on PATH.
 */
export type Backing<Where> = { name: string; where: Where; stop(): Promise<void> };

const POSTGRES_IMAGE = 'postgres:17-alpine';
const REDIS_IMAGE = 'redis:7-alpine';
/** Files run side by side, each with several services of ten connections. */
const MOST_CONNECTIONS = 300;
const DOCKER_ANSWERS_WITHIN_MS = 1000;

const nothingToStop = async () => {};

/** @throws when there is none to be had: no test can do without */
export async function postgresForTests(): Promise<Backing<DatabaseAddress>> {
  const url = process.env['TEST_DATABASE_URL'];
  if (url) return { name: 'TEST_DATABASE_URL', where: { url }, stop: nothingToStop };
  const contained = await inContainer(async () => {
    const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
    const container = await new PostgreSqlContainer(POSTGRES_IMAGE)
      .withCommand(['postgres', '-c', `max_connections=${MOST_CONNECTIONS}`])
      .start();
    return { name: POSTGRES_IMAGE, where: { url: container.getConnectionUri() }, stop: async () => void (await container.stop()) };
  });
  if (contained) return contained;
  const dataDir = mkdtempSync(path.join(tmpdir(), 'latchkey-test-'));
  const remove = () => rmSync(dataDir, { recursive: true, force: true });
  const start = startEmbeddedPostgres(dataDir, (message) => console.warn(message), { maxConnections: MOST_CONNECTIONS });
  const { address, stop } = await start.catch((error) => {
    remove();
    throw error;
  });
  return {
    name: 'the embedded PostgreSQL',
    where: { ...address, database: 'postgres' },
    async stop() {
      await stop();
      remove();
    },
  };
}

/** @returns null when there is none to be had */
export async function redisForTests(): Promise<Backing<string> | null> {
  const url = process.env['TEST_REDIS_URL'];
  if (url) return { name: 'TEST_REDIS_URL', where: url, stop: nothingToStop };
  const contained = await inContainer(async () => {
    const { RedisContainer } = await import('@testcontainers/redis');
    const container = await new RedisContainer(REDIS_IMAGE).start();
    return { name: REDIS_IMAGE, where: container.getConnectionUrl(), stop: async () => void (await container.stop()) };
  });
  if (contained) return contained;
  if (!hasRedisServer()) return null;
  const { url: where, stop } = await privateRedis();
  return { name: 'redis-server', where, stop };
}

/** Whether a test can have a Redis of its own, to kill and freeze. */
export function hasRedisServer(): boolean {
  return spawnSync(process.env['REDIS_SERVER'] ?? 'redis-server', ['--version']).status === 0;
}

let isDockerThere: Promise<boolean> | undefined;

async function inContainer<T>(start: () => Promise<T>): Promise<T | null> {
  isDockerThere ??= dockerAnswers();
  if (!(await isDockerThere)) return null;
  process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true'; // the containers are stopped by us; Ryuk is one more image to pull
  try {
    return await start();
  } catch (error) {
    console.warn(`Docker answers, yet a container does not start: ${error instanceof Error ? error.message : error}`);
    return null;
  }
}

/** Asks the engine before testcontainers is loaded: without one it would look around for seconds. */
function dockerAnswers(): Promise<boolean> {
  const host = URL.parse(process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock');
  const where = host?.protocol === 'unix:' ? { socketPath: host.pathname } : { host: host?.hostname ?? '', port: host?.port ?? '' };
  return new Promise((resolve) => {
    const ping = request({ ...where, path: '/_ping', timeout: DOCKER_ANSWERS_WITHIN_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.on('timeout', () => ping.destroy());
    ping.on('error', () => resolve(false));
    ping.end();
  });
}

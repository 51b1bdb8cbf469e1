import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { freePort } from '#tests/support/free-port.ts';
import { newEmail, PASSWORD } from '#tests/support/people.ts';
import { type ServiceProcess, serviceProcess } from '#tests/support/process.ts';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

type Answer = { status: number; connection: string | undefined; text: string };

/** One request on one of the agent's connections. @throws when there is no answer */
function ask(agent: Agent, url: string, body?: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers = payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
    const sent = request(url, { agent, method: payload === undefined ? 'GET' : 'POST', headers }, (response: IncomingMessage) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response
        .on('error', reject)
        .on('end', () => resolve({ status: response.statusCode ?? 0, connection: response.headers.connection, text }));
    });
    sent.on('error', reject).end(payload);
  });
}

describe('at SIGTERM', { timeout: 90_000 }, () => {
  let database: TestDatabase;
  let service: ServiceProcess;
  let agent: Agent;
  let ended: Promise<number | null>;
  const begin = async (settings: Record<string, string>) => {
    service = await serviceProcess(database.address, {
      REDIS_URL: '',
      RATE_LIMIT_LOGIN: '10000/second',
      RATE_LIMIT_PASSWORD_RESET: '10000/second',
      ...settings,
    });
    ended = new Promise((resolve) => service.child.once('exit', resolve));
  };
  beforeEach(async () => {
    database = await testDatabase();
    agent = new Agent({ keepAlive: true });
  });
  afterEach(async () => {
    agent.destroy();
    if (service.child.exitCode === null) await service.kill();
    await database.drop();
  });

  it('it is not ready at once, answers all the same, ends each connection with its answer, and then itself with 0', async () => {
    await begin({ SHUTDOWN_DRAIN_SECONDS: '4' });
    const before = await ask(agent, `${service.origin}/health/ready`);
    expect(before).toMatchObject({ status: 200, connection: 'keep-alive' });
    service.child.kill('SIGTERM');
    await until('it says so', async () => {
      const answer = await ask(agent, `${service.origin}/health/ready`);
      return answer.status === 503 && answer.text.includes('"stopping"');
    });
    expect(service.child.exitCode).toBeNull();
    const wrong = { email: newEmail(), password: PASSWORD };
    for (const answer of [await ask(agent, `${service.origin}/health/live`), await ask(agent, `${service.origin}/api/auth/login`, wrong)]) {
      expect([200, 401]).toContain(answer.status);
      expect(answer.connection).toBe('close');
    }
    expect(await ended).toBe(0);
  });

  it('no request is lost, on connections that were open before and on new ones, under a balancer that asks for readiness', async () => {
    await begin({ SHUTDOWN_DRAIN_SECONDS: '4' });
    let isReady = true;
    const balancer = (async () => {
      while (isReady) {
        isReady = (await ask(new Agent(), `${service.origin}/health/ready`)).status === 200;
        await delay(200);
      }
    })();
    const lost: unknown[] = [];
    const registered: string[] = [];
    let answered = 0;
    // Half of them keep their connection, half come anew each time; some pause, so that their connection is idle when the end comes.
    const clients = Array.from({ length: 16 }, async (_, number) => {
      const own = new Agent({ keepAlive: number % 2 === 0, maxSockets: 1 });
      while (isReady) {
        const email = newEmail();
        try {
          const isRegistration = number % 4 < 2;
          const answer = isRegistration
            ? await ask(own, `${service.origin}/api/auth/register`, { email, password: PASSWORD })
            : await ask(own, `${service.origin}/api/auth/me`);
          answered++;
          if (answer.status === 201) registered.push(email);
          else if (![401, 503].includes(answer.status)) lost.push(answer);
        } catch (error) {
          lost.push(error);
        }
        await delay(number * 20);
      }
      own.destroy();
    });
    await until('they are at it', () => registered.length > 20 && answered > 100, 30);
    service.child.kill('SIGTERM');
    await Promise.all([balancer, ...clients]);
    expect(lost).toEqual([]);
    expect(await ended).toBe(0);
    const rows = await database.sql<{ email: string }[]>`select email from accounts`;
    const stored = new Set(rows.map(({ email }) => email));
    expect(registered.filter((email) => !stored.has(email))).toEqual([]);
  });

  it('what runs is finished, however often the signal comes', async () => {
    await begin({});
    const email = newEmail();
    expect((await ask(agent, `${service.origin}/api/auth/register`, { email, password: PASSWORD })).status).toBe(201);
    let answer: Promise<Answer> | undefined;
    await database.sql.begin(async (tx) => {
      await tx`select from accounts for update`;
      answer = ask(agent, `${service.origin}/api/auth/resend-verification`, { email });
      await until('it waits for the row', async () => {
        const waiting = await database.sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
        return waiting.length > 0;
      });
      for (const signal of ['SIGTERM', 'SIGTERM', 'SIGINT'] as const) service.child.kill(signal);
      await until('nobody new is let in', () =>
        ask(new Agent(), `${service.origin}/health`).then(
          () => false,
          () => true,
        ),
      );
      service.child.kill('SIGTERM');
      expect(service.child.exitCode).toBeNull();
    });
    expect(await answer).toMatchObject({ status: 202, connection: 'close' });
    expect(await ended).toBe(0);
  });

  it('it ends, with 1 and a word about it, though a part of it cannot be stopped', async () => {
    const broken = `import { Server } from 'node:http'; Server.prototype.closeAllConnections = () => { throw new Error('this part is stuck') }`;
    await begin({
      METRICS_PORT: String(await freePort()),
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(broken)}`,
    });
    service.child.kill('SIGTERM');
    expect(await Promise.race([ended, delay(20_000, 'it still runs', { ref: false })])).toBe(1);
    expect(service.said()).toMatch(/this part is stuck.*the service did not stop cleanly/);
  });

  it('nobody holds it up by sending slowly: such a client is cut off, and it ends with 0', async () => {
    await begin({});
    const slow = connect(Number(new URL(service.origin).port), '127.0.0.1');
    slow.on('error', () => {});
    slow.write(
      'POST /api/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{"email":"',
    );
    const dripping = setInterval(() => slow.write('a'), 200);
    const startedMs = performance.now();
    try {
      await ask(agent, `${service.origin}/health`); // by now the slow one was heard
      service.child.kill('SIGTERM');
      expect(await ended).toBe(0);
      expect(performance.now() - startedMs).toBeLessThan(35_000); // within the 45 seconds that Kubernetes gives it
    } finally {
      clearInterval(dripping);
      slow.destroy();
    }
  });
});

it('a service whose part cannot be stopped closes all the others, and says which it was', async () => {
  const database = await testDatabase();
  const service = await startService({ database, settings: { REDIS_URL: undefined } });
  const ours = () =>
    database.sql`select from pg_stat_activity where datname = current_database() and application_name = 'latchkey' and pid <> pg_backend_pid()`;
  try {
    await until('it works', async () => (await database.sql`select from leases`).length > 0 && (await ours()).length > 0);
    const close = vi.spyOn(service.app, 'close').mockRejectedValueOnce(new Error('the socket is stuck'));
    await expect(service.stop()).rejects.toThrow('the socket is stuck');
    expect(await database.sql`select from leases`).toHaveLength(0);
    await until('its connections are closed', async () => (await ours()).length === 0);
    close.mockRestore();
  } finally {
    await service.app.close();
    await database.drop();
  }
});

import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { type MailServer, type MailServerOptions, mailServer, selfSigned } from '#tests/support/mail-server.ts';
import { newEmail, PASSWORD } from '#tests/support/people.ts';
import { type ServiceProcess, serviceProcess } from '#tests/support/process.ts';
import { until } from '#tests/support/until.ts';

/** The service as a process of its own, a real SMTP server, and what happens when either of them dies. */

const TLS = selfSigned();
let database: TestDatabase;
const services: ServiceProcess[] = [];
const servers: MailServer[] = [];
beforeEach(async () => {
  database = await testDatabase();
});
afterEach(async () => {
  for (const service of services.splice(0)) await service.stop();
  for (const server of servers.splice(0)) await server.stop();
  await database.drop();
});

async function smtp(options: MailServerOptions = {}): Promise<MailServer> {
  const server = await mailServer({ ...TLS, ...options });
  servers.push(server);
  return server;
}

async function service(smtpPort: number, settings: Record<string, string> = {}): Promise<ServiceProcess> {
  const mail = { EMAIL_PROVIDER: 'smtp', SMTP_HOST: 'localhost', SMTP_PORT: String(smtpPort), SMTP_CA: TLS.cert };
  const started = await serviceProcess(database.address, { ...mail, EMAILS_FROM_EMAIL: 'no-reply@acme.example', ...settings });
  services.push(started);
  return started;
}

/** Registers somebody new. @returns their address */
async function register({ post }: ServiceProcess): Promise<string> {
  const email = newEmail();
  expect((await post('register', { email, password: PASSWORD })).status).toBe(201);
  return email;
}

const allSent = () =>
  until('all mail is sent', async () => (await database.sql`select from outbox where sent_at is null limit 1`).length === 0);
/** A dead worker's lease, as if its two minutes were over. */
const endLeases = () => database.sql`update outbox set next_attempt_at = now() where sent_at is null`;
const recipients = ({ received }: MailServer) => received.map(({ envelope }) => envelope.to[0]).sort();

describe('when the mail server is down', () => {
  it('people register as always, readiness says degraded, and when it is back every mail arrives once, from two processes', async () => {
    const { port, stop } = await smtp();
    await stop();
    const both = [await service(port), await service(port)];
    const people = await Promise.all(Array.from({ length: 20 }, (_, i) => register(both[i % 2] as ServiceProcess)));
    for (const { readiness } of both) {
      await until('readiness tells of it', async () => (await readiness()).dependencies['mail'] === 'degraded');
      expect((await readiness()).status).toBe(200);
    }
    const [waits] = await database.sql`select attempts, last_error from outbox where last_error is not null limit 1`;
    expect(waits).toMatchObject({ attempts: expect.any(Number), last_error: expect.stringContaining('ECONNREFUSED') });

    const back = await smtp({ port });
    await allSent();
    expect(recipients(back)).toEqual(people.sort());
    await register(both[0] as ServiceProcess);
    await until('readiness tells of that too', async () => (await both[0]?.readiness())?.dependencies['mail'] === 'up');
  }, 60_000);
});

describe('a process that is killed', () => {
  it('between commit and send loses nothing: the next one sends the mail, once', async () => {
    const server = await smtp();
    const first = await service(server.port, { ROLE: 'web' }); // commits, and never gets to send
    const email = await register(first);
    await first.kill();
    await service(server.port);
    await allSent();
    expect(recipients(server)).toEqual([email]);
  }, 60_000);

  it('between send and mark sends it once more after its lease, under the same Message-ID, and never again', async () => {
    let victim: ServiceProcess | null = null;
    const server = await smtp({
      async judge() {
        await victim?.kill(); // it has handed over the whole mail, and never hears that it was taken
        victim = null;
        return undefined;
      },
    });
    victim = await service(server.port);
    const email = newEmail();
    await victim.post('register', { email, password: PASSWORD }).catch(() => {}); // it may die before it answers
    await until('the mail is there and its sender dead', () => server.received.length === 1 && victim === null);
    const [sent] = await database.sql`select sent_at, attempts from outbox`;
    expect(sent).toMatchObject({ sent_at: null, attempts: 1 });

    const next = await service(server.port);
    expect(server.received).toHaveLength(1); // the lease still holds
    await endLeases();
    await allSent();
    await endLeases();
    await register(next); // a mail that comes later has overtaken nothing
    await allSent();
    const ids = server.received.filter(({ envelope }) => envelope.to[0] === email).map(({ messageId }) => messageId);
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(1);
  }, 60_000);

  it('by SIGTERM finishes what it is sending', async () => {
    const held = Promise.withResolvers<undefined>();
    const server = await smtp({ judge: () => held.promise });
    const ending = await service(server.port);
    await register(ending);
    await until('the mail is on its way', () => server.received.length === 1);
    const ended = ending.stop();
    await until('its port is closed', () =>
      fetch(`${ending.origin}/health/live`).then(
        (answer) => answer.bytes().then(() => false),
        () => true,
      ),
    );
    // That it waits shows from outside only by its not ending: without the mail it would be gone within milliseconds.
    await Promise.race([ended, delay(1000)]);
    expect(ending.child.exitCode).toBeNull();
    held.resolve(undefined);
    await ended;
    expect(await database.sql`select attempts, sent_at is not null as sent from outbox`).toMatchObject([{ attempts: 1, sent: true }]);
  }, 60_000);
});

import { setTimeout as delay } from 'node:timers/promises';
import type { Sql } from 'postgres';
import { expect } from 'vitest';
import { connect, type DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { type MailServer, mailServer } from '#tests/support/mail-server.ts';
import { type ServiceProcess, serviceProcess } from '#tests/support/process.ts';
import { type PrivateRedis, privateRedis } from '#tests/support/redis-servers.ts';
import { until } from '#tests/support/until.ts';
import type { WhenNoneIsReady } from './balancer.ts';
import { seedOfToday } from './chance.ts';
import { type Crowd, type CrowdOptions, startCrowd } from './crowd.ts';
import { type Operation, summary } from './ledger.ts';
import { postbox } from './postbox.ts';
import { type PostgresServer, postgresServer } from './postgres-server.ts';
import { reconcile } from './reconcile.ts';
import { type Replicas, twoReplicas } from './replicas.ts';
import { stored } from './stored.ts';

/** What docs/bad-days.md promises: after a dependency is back, everything works again within this time, by itself. */
export const RECOVERS_WITHIN_SECONDS = 10;
const SETTLES_WITHIN_SECONDS = 10;
const BEGINS_WITHIN_SECONDS = 60;
/** Of every service of the drills. */
export const ISSUER = 'http://localhost:3000';
const PLENTY = '1000000/second';
const LIMITS = ['PER_IP', 'PER_USER', 'LOGIN', 'REGISTER', 'PASSWORD_RESET', 'MFA'].map((name) => [`RATE_LIMIT_${name}`, PLENTY] as const);

/** What a service of the day is given beside what all of them get. */
type Given = { settings?: Record<string, string>; database?: DatabaseAddress; without?: readonly string[] };

export type Day = {
  postgres: PostgresServer;
  redis: PrivateRedis;
  mail: MailServer;
  seed: number;
  /** A service on these servers, or on others where the settings and the address say so; ended with the day. */
  service(given?: Given): Promise<ServiceProcess>;
  /** Two of them behind a balancer, as the service runs in production. @param given.whenNoneIsReady ask-all, unless it says otherwise */
  replicas(given?: Given & { whenNoneIsReady?: WhenNoneIsReady }): Promise<Replicas>;
  /** @param by the way to them, where it is not the balancer's own */
  crowd(replicas: Replicas, options?: Partial<CrowdOptions>): Crowd;
  /** To be ended with the day, the last one first. */
  onEnd(end: () => unknown): void;
};

/** Servers of one drill. Whatever happens in it, all of them are ended. @param postgres one on a disk of its own */
export async function badDay(
  live: (day: Day) => Promise<void>,
  makePostgres: (onEnd: Day['onEnd']) => Promise<PostgresServer> = plain,
): Promise<void> {
  const ends: (() => unknown)[] = [];
  const onEnd = (end: () => unknown) => void ends.push(end);
  const seed = seedOfToday();
  console.log(`BAD_DAYS_SEED=${seed}`);
  try {
    const postgres = await makePostgres(onEnd);
    const redis = await privateRedis();
    onEnd(() => redis.stop());
    const mail = await mailServer({ disabledCommands: ['STARTTLS', 'AUTH'] });
    onEnd(() => mail.stop());
    const service: Day['service'] = async ({ settings = {}, database = postgres.address, without = [] } = {}) => {
      const all = {
        ...Object.fromEntries(LIMITS),
        ISSUER, // replicas are one service
        REDIS_URL: redis.url,
        EMAIL_PROVIDER: 'smtp',
        SMTP_HOST: 'localhost',
        SMTP_PORT: String(mail.port),
        SMTP_TLS: 'off',
        EMAILS_FROM_EMAIL: 'no-reply@acme.example',
        LOG_LEVEL: 'fatal',
        ...settings,
      };
      const given = Object.entries(all).filter(([name]) => !without.includes(name));
      const started = await serviceProcess(database, Object.fromEntries(given));
      onEnd(() => started.stop());
      return started;
    };
    await live({
      postgres,
      redis,
      mail,
      seed,
      onEnd,
      service,
      async replicas({ whenNoneIsReady = 'ask-all', settings, ...given } = {}) {
        const start = (port: number) => service({ ...given, settings: { ...settings, PORT: String(port) } });
        const replicas = await twoReplicas(start, whenNoneIsReady);
        onEnd(() => replicas.close());
        await replicas.areReady();
        return replicas;
      },
      crowd({ origin, origins }, options = {}) {
        const crowd = startCrowd({ origin, replicas: origins, postbox: postbox(mail), seed, ...options });
        onEnd(() => crowd.leave());
        return crowd;
      },
    });
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function plain(onEnd: Day['onEnd']): Promise<PostgresServer> {
  const postgres = await postgresServer();
  onEnd(() => postgres.stop());
  onEnd(() => postgres.thaw());
  return postgres;
}

/** Good weather, or bad, for a while. */
export const forAWhile = (seconds: number) => delay(seconds * 1000);

const EVERYDAY: readonly Operation[] = ['register', 'login', 'refresh', 'me'];
/** What comes to every replica in any few seconds. People register too seldom for that, and with what a sign-in needs. */
const EVERYWHERE: readonly Operation[] = ['login', 'refresh', 'me'];

/** Before anything goes wrong: people are there, and are signed in. */
export const isUnderWay = (crowd: Crowd) => works(crowd, EVERYDAY, BEGINS_WITHIN_SECONDS);

/** Each of these was done for somebody who asked after now, and what is frequent at each replica. @throws when it takes longer than recovery may */
export async function works(
  { ledger, replicas }: Crowd,
  operations = EVERYDAY,
  seconds = RECOVERS_WITHIN_SECONDS,
  at = replicas,
): Promise<void> {
  const sinceMs = performance.now();
  const frequent = operations.filter((operation) => EVERYWHERE.includes(operation));
  const waiting = new Set([...operations, ...at.flatMap((replica) => frequent.map((operation) => `${operation} at ${replica}`))]);
  let read = ledger.entries.length;
  await until(
    `these work again: ${operations}`,
    () => {
      for (const { operation, outcome, by, sentAtMs } of ledger.entries.slice(read)) {
        read++;
        if (outcome !== 'done' || sentAtMs < sinceMs) continue;
        waiting.delete(operation);
        waiting.delete(`${operation} at ${by}`);
      }
      return waiting.size === 0;
    },
    seconds,
  ).catch((error) => {
    throw new Error(`${error.message}; not yet: ${[...waiting]}`);
  });
}

/** The fault is mended: by themselves, and in time, all replicas do everything again and say so. */
export async function recovers(crowd: Crowd, replicas: Replicas): Promise<void> {
  await Promise.all([works(crowd), replicas.areReady(RECOVERS_WITHIN_SECONDS)]);
}

/** Somebody was not answered. */
export async function isTroubled({ ledger }: Crowd): Promise<void> {
  const before = ledger.entries.length;
  await until('somebody is not answered', () => ledger.entries.slice(before).some(({ outcome }) => outcome === 'in-doubt'), 30);
}

/** How many requests nobody could answer while this went on: a fault that nobody notices proves nothing. */
export async function troubledBy({ ledger }: Crowd, fault: () => Promise<void>): Promise<number> {
  const before = ledger.entries.length;
  await fault();
  return ledger.entries.slice(before).filter(({ outcome }) => outcome === 'in-doubt').length;
}

/**
 * The reckoning: everybody finishes, all mail is sent, and what people were told is held against what is stored and mailed.
 * @param endsLeases a worker that was killed holds what it had claimed for two minutes: as if they were over
 */
export async function reckon({ postgres, mail }: Day, crowd: Crowd, { endsLeases = false } = {}): Promise<void> {
  await crowd.goHome();
  const { ledger } = crowd;
  const sql = connect(postgres.address, { max: 1 });
  try {
    if (endsLeases) await sql`update outbox set next_attempt_at = now() where sent_at is null and failed_at is null`;
    const waiting = () =>
      sql`select template, attempts, next_attempt_at, last_error from outbox where sent_at is null and failed_at is null`;
    await until('all mail is sent', async () => (await waiting()).length === 0, SETTLES_WITHIN_SECONDS).catch(async (error) => {
      ledger.complaints.push(`${error.message}: ${JSON.stringify(await waiting())}`);
    });
    const differences = await reconcile(ledger, await stored(sql), postbox(mail).received());
    console.log(summary(ledger));
    if (ledger.complaints.length > 0) console.log(await told(sql, ledger.complaints));
    expect({ complaints: ledger.complaints, differences }).toEqual({ complaints: [], differences: [] });
    for (const operation of EVERYDAY)
      expect(ledger.entries.filter((entry) => entry.operation === operation && entry.outcome === 'done')).not.toHaveLength(0);
  } finally {
    await sql.end();
  }
}

/** What the service wrote down about those of whom the complaints speak, for whoever asks why. */
async function told(sql: Sql, complaints: readonly string[]): Promise<string> {
  const rows = await sql`
    select to_char(e.occurred_at, 'HH24:MI:SS.MS') || ' ' || a.email || ' ' || e.type || coalesce(' ' || e.session_id, '') as line
    from audit_events e join accounts a on a.id = e.account_id
    where strpos(${complaints.join('\n')}, a.email) > 0 order by e.occurred_at, e.id`;
  return rows.map(({ line }) => line).join('\n');
}

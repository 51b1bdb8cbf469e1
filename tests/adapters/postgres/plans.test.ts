import { expect, it } from 'vitest';
import { after } from '#domain/lifetimes.ts';
import { openDatabase } from '#infrastructure/postgres/connect.ts';
import { postgresOutbox } from '#infrastructure/postgres/outbox.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { until } from '#tests/support/until.ts';
import { openedForTests } from './opened.ts';
import { DAY, email, event, lane, mail, openedSession, registration, ticket, use, username } from './records.ts';

const here = openedForTests();
const at = new Date();
const ROWS = 4000;
const TABLES = ['accounts', 'sessions', 'tickets', 'login_throttles', 'outbox'];

/** How often an index of each table was asked, and how many rows were read for whatever reason. */
const scans = async () =>
  await here.sql<{ name: string; byIndex: number; read: number }[]>`
    select relname as name, idx_scan::int as "byIndex", (seq_tup_read + idx_tup_fetch)::int as read from pg_stat_user_tables
    where relname in ${here.sql(TABLES)} order by relname`;

async function fill(): Promise<void> {
  const { sql } = here;
  const end = after(at, DAY);
  await sql`insert into accounts (id, email, email_canonical, email_verified_at, username, username_canonical, password_hash, created_at, updated_at)
    select md5('a' || i)::uuid, i || '@x.org', i || '@x.org', ${at}, 'n' || i, 'n' || i, 'a hash', ${at}, ${at} from generate_series(1, ${ROWS}) i`;
  await sql`insert into sessions (id, account_id, transport, ip, amr, acr, auth_time, created_at, last_seen_at, idle_end_at, absolute_end_at, refresh_secret_hash)
    select md5('s' || i)::uuid, md5('a' || i)::uuid, 'bearer', '192.0.2.1', '{pwd}', 'aal1', ${at}, ${at}, ${at}, ${end}, ${end}, 'x'
    from generate_series(1, ${ROWS}) i`;
  await sql`insert into tickets (id, purpose, account_id, secret_hash, reserved_username, created_at, expires_at)
    select md5('t' || i)::uuid, 'verify-email', md5('a' || i)::uuid, sha256(('t' || i)::bytea), case when i % 5 = 0 then 'r' || i end, ${at}, ${end}
    from generate_series(1, ${ROWS}) i`;
  await sql`insert into login_throttles (identifier_hash, network, failures, last_failed_at)
    select sha256(('l' || i)::bytea), '192.0.2.0', 1, ${at} from generate_series(1, ${ROWS}) i`;
  await sql`insert into outbox (id, kind, account_id, recipient, template, sealed, created_at, next_attempt_at, expires_at, sent_at)
    select md5('o' || i)::uuid, 'email', md5('a' || i)::uuid, 'x', 'x', null, ${at}, ${at}, ${end}, ${at} from generate_series(1, ${ROWS}) i`;
  await sql`analyze`;
}

it('every question of the store is answered by an index: no table is read from end to end', { timeout: 30_000 }, async () => {
  await fill();
  const own = openDatabase(here.address, { poolSize: 1, prepare: true });
  const [store, outbox] = [postgresStore(own), postgresOutbox(own)];
  const before = await until('the statistics tell of the rows', async () => {
    const [row] = await here.sql`select from pg_stat_user_tables where relname = 'outbox' and n_live_tup >= ${ROWS}`;
    return row && (await scans());
  });

  // Six times each: from the sixth on PostgreSQL may plan without looking at the values.
  for (let round = 0; round < 6; round++) {
    const asked = registration(at, { username: username() });
    await store.hot.register(asked);
    await store.hot.register(registration(at, { email: asked.email, username: username() }));
    await store.hot.register(registration(at));
    for (const [to, purpose] of [
      ['active', 'reset-password'],
      ['unverified', 'verify-email'],
    ] as const) {
      const link = { email: asked.email, ticket: ticket(at, purpose), mail: mail(at), event: event('VERIFICATION_RESENT', at), at };
      await store.hot.sendLink({ ...link, to });
    }
    const known = { id: asked.accountId, passwordHash: asked.passwordHash };
    const opened = await openedSession(store.hot, known, at);
    const other = await openedSession(store.hot, known, at);
    await store.hot.authenticate(opened.id, at);
    for (const counter of [0, 1, 2, 0]) await store.hot.rotate(use(other, counter, at));
    for (const kind of ['email', 'username'] as const)
      await store.hot.findForSignIn({ kind, canonical: asked.email.canonical }, lane(), at);
    await store.hot.countFailure(lane(), { maxAttempts: 5, lockSeconds: 60 }, event('LOGIN_FAILED', at));
    await store.read(async ({ accounts, sessions }) => {
      await accounts.findTaken(email(), username(), at);
      await accounts.findByTicket('verify-email', asked.ticket.secretHash, at);
      await accounts.findWithPassword(known.id);
      await accounts.findLock(lane(), at);
      await sessions.listLive(known.id, at, 10);
    });
    await store.transaction(async (tx) => {
      await tx.tickets.redeem('verify-email', asked.ticket.secretHash, at);
      await tx.tickets.cancelAll(known.id, 'verify-email', at);
      await tx.accounts.verifyEmail(known.id, { passwordHash: 'x', username: username(), displayName: null }, at);
      await tx.accounts.setPassword(known.id, 'y', at, { provesEmail: true });
      await tx.accounts.replacePassword(known.id, 'y', 'z', at);
      await tx.accounts.clearFailures([lane().identifierHash]);
      await tx.sessions.renewSecret(opened.id, opened.refreshSecretHash, after(at, DAY), at);
      await tx.sessions.endBySecret(opened.id, other.refreshSecretHash, 'logout', at);
      await tx.sessions.end(known.id, opened.id, 'logout', at);
      await tx.sessions.endAll(known.id, 'password-changed', at);
      await tx.outbox.enqueue(known.id, mail(at), at);
    });
    const [message] = await outbox.claim(5, 60, at);
    if (message) await outbox.markSent(message.id, null, at);
    await outbox.backlog(at);
  }
  await own.close(); // a connection that ends hands in what it counted

  const now = await until('the statistics tell of the questions', async () => {
    const counted = await scans();
    return counted.every(({ byIndex }, i) => byIndex > (before[i]?.byIndex ?? 0)) && counted;
  });
  // To read one of them once from end to end would be ROWS; all the questions together need a few each.
  for (const [i, { name, read }] of now.entries()) expect([name, read - (before[i]?.read ?? 0) < ROWS / 4]).toEqual([name, true]);
});

import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import type { Store } from '#application/ports/store.ts';
import { ACTIVITY } from '#domain/activity.ts';
import { after } from '#domain/lifetimes.ts';
import { connect } from '#infrastructure/postgres/connect.ts';
import { type Database, openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresOutbox } from '#infrastructure/postgres/outbox.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { until } from '#tests/support/until.ts';
import { openedForTests } from './opened.ts';
import {
  DAY,
  email,
  event,
  hash,
  LOCKOUT,
  lane,
  lanes,
  mail,
  openedSession,
  registration,
  sighting,
  ticket,
  use,
  username,
} from './records.ts';

const here = openedForTests();
const at = new Date();
const ROWS = 4000;
const TABLES = [
  'accounts',
  'sessions',
  'tickets',
  'login_throttles',
  'outbox',
  'totp_authenticators',
  'recovery_codes',
  'phones',
  'passkeys',
  'federated_identities',
  `audit_events_${at.toISOString().slice(0, 7).replace('-', '_')}`,
];

/** How often an index of each table was asked, and how many rows were read for whatever reason. */
const scans = async () =>
  await here.sql<{ name: string; byIndex: number; read: number }[]>`
    select relname as name, idx_scan::int as "byIndex", (seq_tup_read + idx_tup_fetch)::int as read from pg_stat_user_tables
    where relname in ${here.sql(TABLES)} order by relname`;

/** By a connection of its own: what its foreign keys read is counted when it ends, before the questions are and not among them. */
async function fill(): Promise<void> {
  const sql = connect(here.address, { max: 1 });
  const end = after(at, DAY);
  await sql`insert into accounts (id, email, email_canonical, email_verified_at, username, username_canonical, password_hash, created_at, updated_at,
      verify_by)
    select md5('a' || i)::uuid, i || '@x.org', i || '@x.org', case when i % 2 = 0 then ${at}::timestamptz end, 'n' || i, 'n' || i, 'a hash',
      ${at}, ${at}, case when i % 2 = 0 then ${at}::timestamptz else ${end} end from generate_series(1, ${ROWS}) i`;
  await sql`insert into sessions (id, account_id, transport, ip, amr, acr, auth_time, created_at, last_seen_at, idle_end_at, absolute_end_at, refresh_secret_hash)
    select md5('s' || i)::uuid, md5('a' || i)::uuid, 'bearer', '192.0.2.1', '{pwd}', 'aal1', ${at}, ${at}, ${at}, ${end}, ${end}, 'x'
    from generate_series(1, ${ROWS}) i`;
  await sql`insert into tickets (id, purpose, account_id, secret_hash, reserved_username, created_at, expires_at)
    select md5('t' || i)::uuid, 'verify-email', md5('a' || i)::uuid, sha256(('t' || i)::bytea), case when i % 5 = 0 then 'r' || i end, ${at}, ${end}
    from generate_series(1, ${ROWS}) i`;
  await sql`insert into login_throttles (identifier_hash, network, failures, last_failed_at)
    select sha256(('l' || i)::bytea), '192.0.2.' || i % 250, 1, ${at} from generate_series(1, ${ROWS}) i`;
  await sql`insert into outbox (id, kind, account_id, recipient, template, sealed, created_at, next_attempt_at, expires_at, sent_at)
    select md5('o' || i)::uuid, 'email', md5('a' || i)::uuid, 'x', 'x', null, ${at}, ${at}, ${end}, ${at} from generate_series(1, ${ROWS}) i`;
  await sql`insert into totp_authenticators (id, account_id, session_id, secret, last_step, created_at, activated_at)
    select md5('p' || i)::uuid, md5('a' || i)::uuid, md5('s' || i)::uuid, 'x', 1, ${at}, ${at} from generate_series(1, ${ROWS}) i`;
  await sql`insert into recovery_codes (account_id, code_hash, created_at)
    select md5('a' || i)::uuid, sha256(('c' || i)::bytea), ${at} from generate_series(1, ${ROWS}) i`;
  await sql`insert into phones (account_id, number, verified_at) select md5('a' || i)::uuid, '+1', ${at} from generate_series(1, ${ROWS}) i`;
  await sql`insert into passkeys (id, account_id, credential_id, public_key, sign_count, transports, aaguid, name, is_backup_eligible,
      is_backed_up, created_at)
    select md5('k' || i)::uuid, md5('a' || i)::uuid, sha256(('k' || i)::bytea), 'x', 0, '{}', md5('k')::uuid, 'x', true, true, ${at}
    from generate_series(1, ${ROWS}) i`;
  await sql`insert into federated_identities (issuer, subject, account_id, linked_at, last_used_at)
    select 'https://pool.example', 'u' || i, md5('a' || i)::uuid, ${at}, ${at} from generate_series(1, ${ROWS}) i`;
  await sql`insert into audit_events (id, occurred_at, type, account_id, ip, request_id, risk, details)
    select md5('e' || i)::uuid, ${at}::timestamptz - i * interval '1 second', case when i % 500 = 0 then 'LOGOUT' else 'TOKEN_REFRESHED' end,
      md5('a' || i)::uuid, '192.0.2.' || i % 50, 'x', case when i % 50 = 0 then 90 when i % 10 = 0 then 20 else 0 end, '{}'
    from generate_series(1, ${ROWS}) i`;
  const [filler] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  await sql.end();
  await until('the connection that filled the tables has ended', async () => {
    const left = await here.sql`select from pg_stat_activity where pid = ${filler?.pid ?? 0}`;
    return left.length === 0;
  });
}

/** Each question that the store knows, once. */
async function askEverything(database: Database): Promise<void> {
  const [store, outbox] = [postgresStore(database), postgresOutbox(database)];
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
  await store.hot.authenticateByCookie(hash(), { ip: '192.0.2.1', userAgent: null }, { idleSeconds: 3600, touchSeconds: 60 }, at);
  for (const counter of [0, 1, 2, 0]) await store.hot.rotate(use(other, counter, at));
  for (const kind of ['email', 'username'] as const)
    await store.hot.findForSignIn(
      { kind, canonical: asked.email.canonical },
      lanes(randomUUID()),
      LOCKOUT,
      { ...sighting(), tokenHash: hash() },
      at,
    );
  await store.hot.recordFailure([event('LOGIN_FAILED', at)], { accountId: null, laneHash: hash(), mail: mail(at) });
  await store.transaction(async ({ throttles }) => throttles.takeBack(await throttles.tryPassword(lane(), LOCKOUT, at)));
  const preAuth = ticket(at, 'pre-auth');
  const code = ticket(at, 'sms-code');
  const totp = { id: randomUUID(), accountId: known.id, sessionId: opened.id, secret: 'x' };
  await store.transaction(async ({ tickets, authenticators, ...tx }) => {
    await tx.accounts.lock(known.id);
    await tickets.issue({ ...preAuth, accountId: known.id, context: {} }, at);
    await tickets.issue({ ...code, accountId: known.id, context: {} }, at);
    await tickets.tryOnce('pre-auth', preAuth.secretHash, 5, at);
    await tickets.tryNewest('sms-code', known.id, 5, at);
    await tickets.triesOf(known.id, 'sms-code', at);
    await tickets.find('pre-auth', preAuth.secretHash, 5, at);
    await tickets.redeemContext('pre-auth', preAuth.secretHash, at);
    await authenticators.beginTotp(totp, at);
    await authenticators.findTotp(known.id, 'pending');
    await authenticators.activateTotp(known.id, totp.id, 1, at);
    await authenticators.claimTotpStep(totp.id, 2, at);
    await authenticators.replaceRecoveryCodes(known.id, [hash()], at);
    await authenticators.useRecoveryCode(known.id, hash(), at);
    await authenticators.setPhone(known.id, '+1', at);
    await authenticators.touchPhone(known.id, at);
    const passkey = passkeyOf(known.id);
    await authenticators.addPasskey(passkey, at);
    await authenticators.usePasskey(passkey.id, { signCount: 1, isBackupEligible: true, isBackedUp: true }, at);
    await authenticators.flagPasskey(passkey.id, at);
    await authenticators.renamePasskey(known.id, passkey.id, 'other');
    await authenticators.list(known.id);
    await authenticators.secondFactors(known.id);
    await authenticators.findPasskey(passkey.credentialId);
    await authenticators.removeTotp(known.id);
    await authenticators.removePhone(known.id);
    await authenticators.removePasskey(known.id, passkey.id);
    const session = await tx.sessions.lockWithProofs(opened, at);
    if (session) await tx.sessions.setProofs(session);
  });
  const identity = { issuer: 'https://pool.example', subject: randomUUID(), passwordHash: known.passwordHash, heldBack: null };
  await store.transaction(async ({ identities, signIns, throttles, accounts }) => {
    await identities.claim(identity);
    await accounts.lockByEmail(asked.email.canonical);
    await signIns.signals(known.id, { ...sighting(), tokenHash: hash() }, at);
    await identities.link(known.id, identity, at);
    await identities.link(known.id, identity, at);
    await identities.isLinked(identity.issuer, identity.subject);
    await accounts.removePassword(known.id, at);
    await identities.drain(known.id, identity, at);
    await throttles.settle(await throttles.tryPassword(lane(), LOCKOUT, at));
  });
  await store.read(async ({ accounts, sessions, holdings, audit }) => {
    await accounts.findTaken(email(), username(), at);
    await accounts.findByTicket('verify-email', asked.ticket.secretHash, at);
    await accounts.findWithPassword(known.id);
    await accounts.findImported(known.id, email());
    await accounts.findImported(null, email());
    await accounts.findImported(known.id, null);
    await accounts.findLock(lane(), at);
    await sessions.listLive(known.id, at, 10);
    await sessions.findLive(opened.id, at);
    await sessions.endOf(opened.id, opened.refreshSecretHash);
    await holdings.devices(known.id);
    for (const verb of ['sessions', 'tickets', 'messages'] as const) await holdings[verb](known.id, opened.id, 10);
    const any = { type: null, accountId: null, ip: null, minRisk: 0, from: null, to: null };
    const position = { occurredAt: at, id: randomUUID() };
    for (const filter of [
      {},
      { type: 'LOGOUT' },
      { accountId: known.id },
      { ip: '198.51.100.7' },
      { minRisk: 20 },
      { minRisk: 90 },
      { from: after(at, -DAY), to: at },
      { accountId: known.id, type: 'LOGOUT', from: after(at, -DAY) },
    ] as Partial<typeof any>[]) {
      for (const before of [null, position]) await audit.search({ ...any, ...filter }, before, 2);
    }
    for (const role of ['moderator', 'staff', 'admin', null] as const) {
      await accounts.search({ prefix: null, role, status: null }, null, 10);
      await accounts.search({ prefix: 'zz', role, status: 'active' }, 'zzz', 10);
    }
    await accounts.search({ prefix: null, role: 'user', status: 'suspended' }, known.id, 10);
    await accounts.search({ prefix: 'n', role: null, status: null }, null, 2); // all of them begin so
    await accounts.search({ prefix: '1', role: 'user', status: null }, '1', 2);
  });
  await store.transaction(async (tx) => {
    await tx.tickets.redeem('verify-email', asked.ticket.secretHash, at);
    await tx.tickets.cancelAll(known.id, 'verify-email', at);
    await tx.accounts.verifyEmail(known.id, { passwordHash: 'x', username: username(), displayName: null }, at);
    await tx.accounts.setPassword(known.id, 'y', at, { provesEmail: true });
    await tx.accounts.replacePassword(known.id, 'y', 'z', at);
    await tx.accounts.changeProfile(known.id, { username: username() }, at);
    await tx.accounts.isHeld(asked.email, randomUUID());
    await tx.accounts.changeEmail(known.id, email(), at);
    await tx.authenticators.removeSince(known.id, at);
    await tx.accounts.removePassword(known.id, at);
    await tx.tickets.cancelAll(known.id, 'revert-email', at, at);
    await tx.tickets.findFirst(known.id, 'revert-email', at, at);
    await tx.tickets.lastEnd(known.id, 'revert-email', at);
    await tx.tickets.redeemContext('report-sign-in', hash(), at);
    await tx.devices.forgetAll(known.id);
    await tx.accounts.clearFailures([lane().identifierHash]);
    await tx.sessions.renewSecret(opened.id, opened, after(at, DAY), at);
    await tx.sessions.renewCookie(opened.id, hash());
    await tx.sessions.endByCookie(hash(), 'replaced', at);
    await tx.sessions.endBySecret(opened.id, other.refreshSecretHash, 'logout', at);
    await tx.sessions.end(known.id, opened.id, 'logout', at);
    await tx.sessions.endBeyond(known.id, 1, at);
    await tx.sessions.endAll(known.id, 'password-changed', at, other.id);
    await tx.outbox.enqueue(known.id, mail(at), at);
    await tx.accounts.queueAdministration();
    await tx.accounts.lockAll([known.id]);
    await tx.accounts.hasOtherAdmin(known.id);
    await tx.accounts.change(known.id, { roles: ['user'], username: username() }, at);
  });
  await store.transaction(async ({ accounts }) => {
    await accounts.markDeleted(known.id, at, at);
    await accounts.restore(known.id, at);
    await accounts.markDeleted(known.id, at, at);
    await accounts.claimDueForErasure(at, [randomUUID()]);
    await accounts.erase(known.id);
  });
  await askForNeverVerified(store);
  const [message, another] = await outbox.claim({ email: 5, sms: 5 }, after(at, 60), at);
  await outbox.release([after(at, 60)], at);
  if (message) await outbox.markSent(message.id, null, at);
  if (another) await outbox.markFailed(another, { kind: 'bounced', reason: 'no', replyCode: '550' }, null, at);
  await outbox.tidy(at, at);
  await outbox.backlog(at);
}

/** Asks for accounts to remove, of which there is one; the link to another is open. */
async function askForNeverVerified(store: Store): Promise<void> {
  const due = registration(at, { verifyBy: at, ticket: ticket(at, 'verify-email', 0) });
  for (const one of [due, registration(at, { verifyBy: at })]) await store.hot.register(one);
  await store.transaction(async ({ accounts }) => {
    expect(await accounts.claimNeverVerified(at, [randomUUID()])).toMatchObject({ id: due.accountId });
    await accounts.erase(due.accountId);
    expect(await accounts.claimNeverVerified(at, [])).toBeNull();
  });
}

it.each([
  { planned: 'when the tables were empty', isFilledBefore: false },
  { planned: 'when they were full', isFilledBefore: true },
])('accounts to remove are found by indexes that lead to few, planned $planned, and never analyzed', async ({ isFilledBefore }) => {
  const [{ sql }, own] = [here, openDatabase(here.address, { poolSize: 1, prepare: true })];
  /** Entries of indexes, because an index that is read for a bitmap may lead to no row at all. */
  const entries = async () =>
    (
      await sql<
        { read: number }[]
      >`select sum(idx_tup_read)::int as read from pg_stat_user_indexes where relname in ('accounts', 'tickets')`
    )[0]?.read ?? 0;
  if (isFilledBefore) await fill();
  else await postgresStore(own).transaction(({ accounts }) => accounts.claimNeverVerified(at, []));
  if (!isFilledBefore) await fill();
  const before = await entries();
  for (let round = 0; round < 6; round++) await askForNeverVerified(postgresStore(own));
  await own.close();
  const read = await until('the statistics tell of it', async () => {
    const now = await entries();
    return now > before && now - before;
  });
  expect(read).toBeLessThan(ROWS / 4);
});

it.each([
  // First, while no statistics are kept; the plans are, as long as nobody analyzes.
  { planned: 'when the tables were empty', isFilledBefore: false, isAnalyzed: false },
  { planned: 'when they were full, and never analyzed', isFilledBefore: true, isAnalyzed: false },
  { planned: 'when they were full, and analyzed', isFilledBefore: true, isAnalyzed: true },
])('every question of the store, planned $planned, reads no table from end to end', { timeout: 30_000 }, async (planned) => {
  const own = openDatabase(here.address, { poolSize: 1, prepare: true });
  if (!planned.isFilledBefore) await askEverything(own);
  await fill();
  if (planned.isAnalyzed) await here.sql`analyze`;
  const before = await scans();

  // Six times each: from the sixth on PostgreSQL may plan without looking at the values.
  for (let round = 0; round < 6; round++) await askEverything(own);
  await own.close(); // a connection that ends hands in what it counted

  const now = await until('the statistics tell of the questions', async () => {
    const counted = await scans();
    return counted.every(({ byIndex }, i) => byIndex > (before[i]?.byIndex ?? 0)) && counted;
  });
  // To read one of them once from end to end would be ROWS; all the questions together need a few each.
  for (const [i, { name, read }] of now.entries()) expect([name, read - (before[i]?.read ?? 0) < ROWS / 4]).toEqual([name, true]);
});

it('a page of an account’s events is read by the index of their months, and nothing else of them', { timeout: 30_000 }, async () => {
  const { sql } = here;
  await sql`insert into audit_events (id, occurred_at, type, account_id, ip, request_id, risk, details)
    select md5('e' || i)::uuid, ${at}::timestamptz - i * interval '1 minute', 'LOGIN_FAILED', md5('a' || i % 2)::uuid, '192.0.2.1', 'r', 0,
      '{}' from generate_series(1, ${ROWS}) i`;
  await sql`analyze audit_events`;
  const readSoFar = async () => {
    const rows = await sql<{ name: string; n: number }[]>`
      select relname as name, (seq_tup_read + coalesce(idx_tup_fetch, 0))::int as n from pg_stat_user_tables where relname like 'audit_events_%'`;
    return rows.reduce((sum, { n }) => sum + n, 0);
  };
  const before = await readSoFar();
  const own = openDatabase(here.address, { poolSize: 1, prepare: true });
  const [{ id = '' } = {}] = await sql<{ id: string }[]>`select md5('a1')::uuid as id`;
  const middle = { occurredAt: after(at, (-ROWS / 2) * 60), id: randomUUID() };
  for (let round = 0; round < 6; round++) {
    for (const from of [null, middle]) {
      const events = await postgresStore(own).read(({ audit }) => audit.listOfAccount(id, ACTIVITY, 21, from));
      expect(events).toHaveLength(21);
    }
  }
  await own.close();
  const read = await until('the statistics tell of the pages', async () => {
    const grown = (await readSoFar()) - before;
    return grown >= 12 * 21 && grown;
  });
  expect(read).toBeLessThan(12 * 21 * 3);
});

function passkeyOf(accountId: string) {
  return {
    id: randomUUID(),
    accountId,
    credentialId: hash(),
    publicKey: hash(),
    signCount: 0,
    transports: ['internal'],
    aaguid: randomUUID(),
    name: 'a passkey',
    isUserVerified: true,
    isBackupEligible: true,
    isBackedUp: true,
  };
}

import type { Handle } from '#infrastructure/postgres/connect.ts';

/** What stands in the database after a bad day, as far as it can be held against something. */
export type StoredAccount = {
  id: string;
  email: string;
  isVerified: boolean;
  passwordHash: string;
  activeTotp: number;
  codes: number;
  usedCodes: number;
  /** Single-use links by purpose, mails by template, events by type: how many of each. */
  tickets: Counts;
  mails: Counts;
  events: Counts;
};
export type StoredSession = {
  id: string;
  accountId: string;
  counter: number;
  endedBecause: string | null;
  begun: number;
  loggedOut: number;
};
export type StoredMail = { id: string; to: string; template: string; isSent: boolean; hasFailed: boolean };
export type Stored = { accounts: StoredAccount[]; sessions: StoredSession[]; mails: StoredMail[]; orphans: string[] };

export type Counts = Record<string, number | undefined>;

export async function stored(sql: Handle): Promise<Stored> {
  const tallied = (table: string, column: string) => sql`
    coalesce((select json_object_agg(kind, many) from (
      select t.${sql(column)} as kind, count(*)::int as many from ${sql(table)} t where t.account_id = a.id group by 1) as tally), '{}')`;
  const accounts = await sql<StoredAccount[]>`
    select a.id, a.email, a.email_verified_at is not null as "isVerified", a.password_hash as "passwordHash",
      (select count(*)::int from totp_authenticators o where o.account_id = a.id and o.activated_at is not null) as "activeTotp",
      (select count(*)::int from recovery_codes c where c.account_id = a.id) as codes,
      (select count(*)::int from recovery_codes c where c.account_id = a.id and c.used_at is not null) as "usedCodes",
      ${tallied('tickets', 'purpose')} as tickets, ${tallied('outbox', 'template')} as mails, ${tallied('audit_events', 'type')} as events
    from accounts a order by a.id`;
  const sessions = await sql<StoredSession[]>`
    select s.id, s.account_id as "accountId", s.refresh_counter as counter, s.revoked_reason as "endedBecause",
      (select count(*)::int from audit_events e where e.session_id = s.id and e.type = 'LOGIN_SUCCEEDED') as begun,
      (select count(*)::int from audit_events e where e.session_id = s.id and e.type = 'LOGOUT') as "loggedOut"
    from sessions s order by s.id`;
  const mails = await sql<StoredMail[]>`
    select id, recipient as "to", template, sent_at is not null as "isSent", failed_at is not null as "hasFailed" from outbox order by id`;
  const orphans = await sql<{ what: string }[]>`
    select 'the event ' || e.type || ' tells of an account that is not there' as what
    from audit_events e where e.account_id is not null and not exists (select from accounts a where a.id = e.account_id)
    union all
    select 'LOGIN_SUCCEEDED tells of the session ' || e.session_id || ', which is not there'
    from audit_events e where e.type = 'LOGIN_SUCCEEDED' and not exists (select from sessions s where s.id = e.session_id)`;
  return { accounts, sessions, mails, orphans: orphans.map(({ what }) => what) };
}

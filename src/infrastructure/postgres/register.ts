import type { Registration } from '#application/ports/accounts.ts';
import type { OutboxMessage } from '#application/ports/outbox.ts';
import { AUDIT_EVENTS } from '#domain/audit-event.ts';
import type { Handle } from './connect.ts';
import type { Database } from './database.ts';
import { dueAtOnce, record } from './parts.ts';

/** Two registrations that meet see each other at the latest the second time; more is for what nobody thought of. */
const MOST_TRIES = 5;
/** Sets these advisory locks apart from others: the seed of the name's hash. */
const NAME_LOCKS = 2;

/**
 * A registration as one statement, see HotPaths.register. The name is asked about before the address: a taken name answers
 * the same for both, so that two registrations at once cannot tell whether an address has an account. For that too, those of
 * one name queue for its lock, taken beforehand: a statement that waits for it would go on to look at what was there before.
 * `on conflict do nothing` also meets rows that are younger than the statement, and an existing account may go, move or be verified while
 * the statement waits for it: then neither a new nor an existing account is in sight, and it is asked again.
 */
export async function register(
  { sql, within, transaction }: Database,
  registration: Registration,
): Promise<'registered' | 'email-taken' | 'username-taken'> {
  const name = registration.username?.canonical;
  for (let tries = 1; tries <= MOST_TRIES; tries++) {
    const outcome = await (name === undefined
      ? within(() => attempt(sql, registration))
      : transaction(async (tx) => {
          const lock = lockName(tx, name).execute();
          const [outcome] = await Promise.all([attempt(tx, registration), lock]); // sent together, the lock first
          return outcome;
        }));
    if (outcome !== 'raced') return outcome;
  }
  throw new Error('A registration met others more often than it can');
}

/** Whoever takes a user name queues for it, held or free, until the transaction ends. */
export function lockName(tx: Handle, name: string) {
  return tx`select pg_advisory_xact_lock(hashtextextended(${name}::text, ${NAME_LOCKS}::bigint))`;
}

/** What a link carries that may be anybody's: it confirms the address, and its owner sets a password by mail (docs/adr/0009). */
export const NOBODYS = '{"passwordHash":null,"username":null,"displayName":null}';

async function attempt(
  sql: Handle,
  { accountId, email, username, displayName, passwordHash, verifyBy, ticket, verifyMail, existingMail, event, at }: Registration,
) {
  const name = username?.canonical ?? null;
  const pending = JSON.stringify({ passwordHash, username, displayName });
  // The links that went out are all of others, maybe: none of them may set a password any more, nor any that follows while they live.
  const isUntold = verifyMail === null;
  const [row] = await sql<{ state: 'new' | 'pending' | 'verified' | null; username_taken: boolean }[]>`
    with taken as (
      select from accounts where username_canonical = ${name}
      union all select from tickets where reserved_username = ${name} and used_at is null and expires_at > ${at}
    ), created as (
      insert into accounts (id, email, email_canonical, username, username_canonical, display_name, password_hash, created_at, updated_at,
        verify_by, contested_at)
      select ${accountId}::uuid, ${email.given}::text, ${email.canonical}::text, ${username?.given ?? null}::text, ${name}::text,
        ${displayName}::text, ${passwordHash}::text, ${at}::timestamptz, ${at}::timestamptz, ${verifyBy}::timestamptz,
        ${isUntold ? at : null}::timestamptz
      where not exists (select from taken)
      on conflict do nothing returning id, email
    ), waiting as (
      select id, email from accounts where email_canonical = ${email.canonical} and email_verified_at is null
        and not exists (select from taken) and not exists (select from created) for no key update
    ), verified as (
      select id, email from accounts where email_canonical = ${email.canonical} and email_verified_at is not null
        and not exists (select from taken) and not exists (select from created) for key share
    ), target as (
      select id, email, 'new' as state from created
      union all select id, email, 'pending' from waiting
      union all select id, email, 'verified' from verified
    ), open as materialized (
      select t.id, t.account_id, t.pending from target join tickets t on t.account_id = target.id
      where state = 'pending' and t.purpose = ${ticket.purpose} and t.used_at is null and t.expires_at > ${at}
    ), nobodys as (
      select id from target where state <> 'verified' and (${isUntold} or exists (select from open where pending = ${NOBODYS}::text::jsonb))
    ), contested as (
      update accounts set contested_at = ${at} where id in (select id from target where state = 'pending') and contested_at is null
    ), withdrawn as (
      update tickets set pending = ${NOBODYS}::text::jsonb where id in (
        select id from open where ${isUntold} and pending is distinct from ${NOBODYS}::text::jsonb)
    ), issued as (
      insert into tickets (id, purpose, account_id, secret_hash, pending, reserved_username, created_at, expires_at)
      select ${ticket.id}::uuid, ${ticket.purpose}::text, id, ${ticket.secretHash}::bytea,
        case when id in (select id from nobodys) then ${NOBODYS}::text::jsonb when state = 'pending' then ${pending}::text::jsonb end,
        case when state <> 'new' then ${name}::text end, ${at}::timestamptz, ${ticket.expiresAt}::timestamptz
      from target
    ), logged as (${record(sql, event, {
      type: sql`case when state = 'new' then 'ACCOUNT_REGISTERED' else 'REGISTRATION_OF_EXISTING' end`,
      risk: sql`case when state = 'new' then 0 else ${AUDIT_EVENTS.REGISTRATION_OF_EXISTING.risk}::int end`,
      accountId: sql`target.id`,
      from: sql`from target`,
    })}), mailed as (
      insert into outbox (id, kind, account_id, recipient, template, sealed, created_at, next_attempt_at, expires_at)
      select m.id, 'email', target.id, target.email, m.template, m.sealed, ${at}::timestamptz, ${dueAtOnce(sql, at)}, m.expires_at
      from target join (${choices(sql, verifyMail, existingMail)}) as m (for_verified, id, template, sealed, expires_at)
        on m.for_verified = (target.state = 'verified') and m.id is not null
    )
    select (select state from target) as state, exists (select from taken) as username_taken`;
  if (row?.state === 'new') return 'registered';
  if (row?.state) return 'email-taken';
  return row?.username_taken ? 'username-taken' : 'raced';
}

function choices(sql: Handle, verifyMail: OutboxMessage | null, existingMail: OutboxMessage | null) {
  const line = (isForVerified: boolean, message: OutboxMessage | null) => sql`
    select ${isForVerified}::boolean, ${message?.id ?? null}::uuid, ${message?.template ?? null}::text, ${message?.sealed ?? null}::bytea,
      ${message?.expiresAt ?? null}::timestamptz`;
  return sql`${line(false, verifyMail)} union all ${line(true, existingMail)}`;
}

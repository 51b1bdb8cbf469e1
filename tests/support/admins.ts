import type { AuditEventType } from '#domain/audit-event.ts';
import type { Role } from '#domain/roles.ts';
import { personWithTotp, type WithTotp } from './second-factors.ts';
import type { TestService } from './service.ts';

/** Somebody with these roles and a fresh session by two factors. */
export async function holderOf(service: TestService, ...roles: Role[]): Promise<WithTotp> {
  const person = await personWithTotp(service);
  await service.sql`update accounts set roles = ${`{${['user', ...roles].join(',')}}`}::text::text[] where id = ${person.id}`;
  return person;
}

/** Nobody is an admin any more. */
export async function withoutAdmins({ sql }: TestService): Promise<void> {
  await sql`update accounts set roles = '{user}'`;
}

/** The newest event of this type about this account. */
export async function eventOf({ sql }: TestService, type: AuditEventType, accountId: string | null) {
  const [event] = await sql`
    select * from audit_events where type = ${type} and account_id is not distinct from ${accountId} order by id desc limit 1`;
  return event;
}

export async function rolesOf({ sql }: TestService, accountId: string): Promise<string[]> {
  const [row] = await sql<{ roles: string[] }[]>`select to_jsonb(roles) as roles from accounts where id = ${accountId}`;
  return row?.roles ?? [];
}

import { randomUUIDv7 } from 'node:crypto';
import { parseArgs } from 'node:util';
import { AUDIT_EVENTS, type AuditEvent, type AuditEventType } from '#domain/audit-event.ts';
import { parseEmail } from '#domain/email.ts';
import {
  listMigrating,
  MIGRATION_STATES,
  type MigratingUser,
  type MigrationState,
  migrationProgress,
  type Progress,
  undoMigration,
  unlinkIdentities,
} from '#infrastructure/postgres/migration-progress.ts';
import { type Output, table, UsageMistake } from './command.ts';
import { COMMAND_LINE } from './with-services.ts';
import { withUsers } from './with-users.ts';

export const MIGRATION_USAGE = `latchkey users migration [--list STATE] [--json]
       latchkey users migration --undo
       latchkey users unlink --email E`;

export const MIGRATION_HELP = `migration  how many accounts have moved from Cognito (COGNITO_MIGRATE); --list names those of one state, a line each:
        ${Object.keys(MIGRATION_STATES).join(', ')}
        --undo gives drained passwords that nobody has changed since back to Cognito: they are forgotten here. First set
        COGNITO_MIGRATE=false and AUTH_PROVIDER=cognito or both. See docs/cognito.md
unlink  forgets which user at Cognito an account belongs to; the next one with its verified address is linked`;

export async function migration(args: string[], out: Output): Promise<number> {
  const { values } = parseArgs({ args, options: { list: { type: 'string' }, undo: { type: 'boolean' }, json: { type: 'boolean' } } });
  const { list, undo: isUndo = false, json: isJson = false } = values;
  if (isUndo && list !== undefined) throw new UsageMistake('--undo and --list do not go together.');
  if (isUndo) return await undo(out);
  if (list !== undefined && !Object.hasOwn(MIGRATION_STATES, list)) {
    throw new UsageMistake(`--list takes one of ${Object.keys(MIGRATION_STATES).join(', ')}.`);
  }
  await withUsers(out, { migrates: false }, async ({ address }) => {
    if (list === undefined) report(await migrationProgress(address, new Date()), isJson, out);
    else
      await listMigrating(address, list as MigrationState, (page) => {
        for (const user of page) out.print(lineOf(user, isJson));
      });
  });
  return 0;
}

function lineOf({ id, email, linkedAt, drainedAt }: MigratingUser, isJson: boolean): string {
  return isJson ? JSON.stringify({ id, email, linked_at: linkedAt, drained_at: drainedAt }) : `${id}  ${email}`;
}

function report({ states, lastDrainedAt, drainedInAWeek }: Progress, isJson: boolean, out: Output): void {
  if (isJson) {
    out.print(JSON.stringify({ ...states, last_drained_at: lastDrainedAt, drained_in_a_week: drainedInAWeek }, null, 2));
    return;
  }
  const rows = Object.entries(MIGRATION_STATES).map(([state, tells]) => [state, String(states[state as MigrationState]), tells]);
  for (const line of table([['STATE', 'ACCOUNTS', 'EACH'], ...rows])) out.print(line);
  out.print(
    `Moved within a week: ${drainedInAWeek}; ${lastDrainedAt === null ? 'none yet' : `the last one ${lastDrainedAt.toISOString()}`}`,
  );
}

async function undo(out: Output): Promise<number> {
  const undone = await withUsers(out, { migrates: false }, async ({ config, address }) => {
    if (config.COGNITO_MIGRATE) throw new UsageMistake('Set COGNITO_MIGRATE=false first: who signs in would be moved again.');
    if (config.AUTH_PROVIDER === 'native')
      throw new UsageMistake('Set AUTH_PROVIDER=cognito or both first: they could not sign in any more.');
    const at = new Date();
    return await undoMigration(address, at, (accounts) => eventOf('MIGRATION_UNDONE', at, null, { accounts }));
  });
  out.print(`${undone} drained passwords were forgotten here: Cognito judges them again`);
  return 0;
}

export async function unlink(args: string[], out: Output): Promise<number> {
  const { values } = parseArgs({ args, options: { email: { type: 'string' } } });
  const email = parseEmail(values.email ?? '');
  if (email === undefined) throw new UsageMistake('Give an --email.');
  const unlinked = await withUsers(out, { migrates: false }, ({ address }) =>
    unlinkIdentities(address, email.canonical, (accountId) => eventOf('IDENTITY_UNLINKED', new Date(), accountId, {})),
  );
  if (unlinked === null) throw new Error(`No account of ${email.given} is linked.`);
  out.print(unlinked);
  return 0;
}

function eventOf(type: AuditEventType, at: Date, accountId: string | null, details: AuditEvent['details']): AuditEvent {
  const { ip, userAgent, requestId } = COMMAND_LINE;
  return {
    id: randomUUIDv7(),
    type,
    occurredAt: at,
    accountId,
    sessionId: null,
    ip,
    userAgent,
    requestId,
    risk: AUDIT_EVENTS[type].risk,
    details,
  };
}

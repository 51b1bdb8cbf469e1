import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { createUser } from '#application/create-user.ts';
import type { AccountStatus } from '#application/ports/accounts.ts';
import { isRefusal } from '#domain/problems.ts';
import { ROLES, type Role } from '#domain/roles.ts';
import { searchPrefix } from '#domain/search-prefix.ts';
import { type Command, type Output, table, UsageMistake } from './command.ts';
import { EXPORT_HELP, EXPORT_USAGE, exportUsers } from './users-export.ts';
import { FORCE_RESET_HELP, FORCE_RESET_USAGE, forceReset } from './users-force-reset.ts';
import { IMPORT_HELP, IMPORT_USAGE, importUsers } from './users-import.ts';
import { MIGRATION_HELP, MIGRATION_USAGE, migration, unlink } from './users-migration.ts';
import { REMOVE_FACTORS_HELP, REMOVE_FACTORS_USAGE, removeFactorsOf } from './users-remove-factors.ts';
import { COMMAND_LINE, withServices } from './with-services.ts';

const MOST_LISTED = 1000;

/** Accounts, past HTTP: for whoever holds the database's credentials anyway. */
export const users: Command = {
  summary: 'make, list, import and export users, force new passwords, remove lost second factors; how far a migration is',
  help: `Usage: latchkey users create --email E [--role ROLE]... [--verified] [--password-stdin]
       latchkey users list [--role ROLE] [--status active|suspended|deleted] [--query PREFIX] [--json]
       ${IMPORT_USAGE}
       ${EXPORT_USAGE}
       ${MIGRATION_USAGE}
       ${FORCE_RESET_USAGE}
       ${REMOVE_FACTORS_USAGE}

create  makes an account; roles are ${Object.keys(ROLES).join(', ')} (default: user). --verified: the address is known to be theirs.
        Without --password-stdin they set a password by mail ("forgotten password")
list    at most ${MOST_LISTED} that match, the newest first or by what begins with PREFIX
${IMPORT_HELP}
${EXPORT_HELP}
${MIGRATION_HELP}
${FORCE_RESET_HELP}
${REMOVE_FACTORS_HELP}

Examples:
  latchkey users create --email ada@example.com --role admin --verified
  head -c 24 /dev/urandom | base64 | latchkey users create --email ada@example.com --role staff --verified --password-stdin
  latchkey users list --role admin --json | jq -r '.[].email'
  latchkey users import users.ndjson --dry-run
  latchkey users force-reset --all --dry-run
  latchkey users remove-factors --email ada@example.com`,

  async run(args, out) {
    const [verb, ...rest] = args;
    if (verb === 'create') return await create(rest, out);
    if (verb === 'list') return await list(rest, out);
    if (verb === 'import') return await importUsers(rest, out);
    if (verb === 'export') return await exportUsers(rest, out);
    if (verb === 'migration') return await migration(rest, out);
    if (verb === 'unlink') return await unlink(rest, out);
    if (verb === 'force-reset') return await forceReset(rest, out);
    if (verb === 'remove-factors') return await removeFactorsOf(rest, out);
    throw new UsageMistake(verb === undefined ? 'Say what to do with the users.' : `users cannot "${verb}".`);
  },
};

async function create(args: string[], out: Output): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      email: { type: 'string' },
      role: { type: 'string', multiple: true },
      verified: { type: 'boolean' },
      'password-stdin': { type: 'boolean' },
    },
  });
  const { email, role: roles = ['user'], verified: isVerified = false } = values;
  if (email === undefined) throw new UsageMistake('Give an --email.');
  const password = values['password-stdin'] ? (await text(process.stdin)).replace(/\r?\n$/, '') : null;
  const user = { email, roles: roles.map(roleOf), isVerified, password };
  const outcome = await withServices(out, (services) => createUser(services)(user, COMMAND_LINE));
  if (isRefusal(outcome)) throw new Error(outcome.detail ?? outcome.refused);
  out.print(outcome.id);
  return 0;
}

function isStatus(word: string): word is AccountStatus {
  return word === 'active' || word === 'suspended' || word === 'deleted';
}

async function list(args: string[], out: Output): Promise<number> {
  const options = { role: { type: 'string' }, status: { type: 'string' }, query: { type: 'string' }, json: { type: 'boolean' } } as const;
  const { values } = parseArgs({ args, options });
  const { role, status, query } = values;
  if (status !== undefined && !isStatus(status)) throw new UsageMistake('--status is active, suspended or deleted.');
  const filter = {
    prefix: query === undefined ? null : searchPrefix(query),
    role: role === undefined ? null : roleOf(role),
    status: status ?? null,
  };
  const found = await withServices(out, ({ store }) => store.read((records) => records.accounts.search(filter, null, MOST_LISTED)));
  if (values.json) {
    const shown = found.map(({ account: { id, email, emailVerifiedAt, username, status, roles, createdAt } }) => ({
      id,
      email,
      email_verified: emailVerifiedAt !== null,
      username,
      status,
      roles,
      created_at: createdAt,
    }));
    out.print(JSON.stringify(shown, null, 2));
    return 0;
  }
  const rows = found.map(({ account: { id, email, status, roles, createdAt } }) => [
    id,
    email,
    status,
    roles.join(','),
    createdAt.toISOString(),
  ]);
  for (const line of table([['ID', 'EMAIL', 'STATUS', 'ROLES', 'MADE'], ...rows])) out.print(line);
  return 0;
}

function roleOf(name: string): Role {
  if (Object.hasOwn(ROLES, name)) return name as Role;
  throw new UsageMistake(`--role is one of ${Object.keys(ROLES).join(', ')}.`);
}

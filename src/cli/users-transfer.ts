import { type Command, UsageMistake } from './command.ts';
import { EXPORT_HELP, EXPORT_USAGE, exportUsers } from './users-export.ts';
import { IMPORT_HELP, IMPORT_USAGE, importUsers } from './users-import.ts';

/** Accounts that come from another system, or go to one. */
export const users: Command = {
  summary: 'import and export users',
  help: `Usage: ${IMPORT_USAGE}
       ${EXPORT_USAGE}

${IMPORT_HELP}
${EXPORT_HELP}

Example:
  latchkey users import users.ndjson --dry-run --fernet-key-file /run/secrets/old-fernet-key`,

  async run(args, out) {
    const [verb, ...rest] = args;
    if (verb === 'import') return await importUsers(rest, out);
    if (verb === 'export') return await exportUsers(rest, out);
    throw new UsageMistake(verb === undefined ? 'Say what to do with the users.' : `users cannot "${verb}".`);
  },
};

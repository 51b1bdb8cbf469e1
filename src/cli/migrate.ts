import { parseArgs } from 'node:util';
import { grantServiceRights } from '#infrastructure/postgres/grants.ts';
import { migrate } from '#infrastructure/postgres/migrate.ts';
import { loadConfig } from '../config.ts';
import type { Command } from './command.ts';
import { withAddress } from './with-address.ts';

/** Brings the schema up to date without starting the service: for a release job that runs before the new version does. */
export const migrateCommand: Command = {
  summary: 'bring the database schema up to date',
  help: `Usage: latchkey migrate [--grant-to ROLE]

Applies pending migrations to DATABASE_URL, or to the embedded database in DATA_DIR. Any number at once is safe. The service
does the same at its start, so a job that runs this before a release only has to fail before the release does. Of all settings it
asks for DATABASE_URL alone. What it is at, and what it waits for, is told on stderr.

--grant-to ROLE  gives this role what the service needs and no more, for a service that runs as another role than the one that
                 owns the tables: it cannot switch off what guards the audit trail

Examples:
  DATABASE_URL_FILE=/run/secrets/database-url latchkey migrate
  DATABASE_URL_FILE=/run/secrets/owner-url latchkey migrate --grant-to latchkey_service`,

  async run(args, out) {
    const { values } = parseArgs({ args, options: { 'grant-to': { type: 'string' } } });
    const role = values['grant-to'];
    // What else production asks of a service is not asked of a job that needs the database alone; the database is.
    if (process.env['NODE_ENV'] === 'production' && !process.env['DATABASE_URL'] && !process.env['DATABASE_URL_FILE'])
      throw new Error('DATABASE_URL: production needs it');
    const config = loadConfig({ ...process.env, NODE_ENV: undefined });
    return await withAddress(config, out.complain, async (address) => {
      const applied = await migrate(address, new Date(), out.complain);
      out.print(applied.length > 0 ? `Applied: ${applied.join(', ')}` : 'The schema is up to date');
      if (role !== undefined) {
        await grantServiceRights(address, role);
        out.print(`${role} may do what the service needs`);
      }
      return 0;
    });
  },
};

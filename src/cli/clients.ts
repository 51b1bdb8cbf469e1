import { parseArgs } from 'node:util';
import { serviceClients } from '#application/service-clients.ts';
import { isRefusal } from '#domain/problems.ts';
import { type Command, table, UsageMistake } from './command.ts';
import { COMMAND_LINE, withServices } from './with-services.ts';

/** The services that may ask about tokens. */
export const clients: Command = {
  summary: 'make, list and revoke the credentials of services that introspect tokens',
  help: `Usage: latchkey clients create --name NAME [--json]
       latchkey clients list [--json]
       latchkey clients revoke CLIENT_ID

create  makes credentials for HTTP Basic; the secret is shown this once
list    who has some, and who had
revoke  from the next request on they are no use

Examples:
  latchkey clients create --name orders --json > /run/secrets/orders-client.json
  latchkey clients list --json | jq -r '.[] | select(.revoked_at == null) | .client_id'`,

  async run(args, out) {
    const [verb, ...rest] = args;
    const options = { name: { type: 'string' }, json: { type: 'boolean' } } as const;
    const { values, positionals } = parseArgs({ args: rest, options, allowPositionals: true });
    const [id] = positionals;
    if (verb === 'create') {
      const name = values.name;
      if (name === undefined || !/^[^\p{Cc}]{1,100}$/u.test(name)) throw new UsageMistake('Give the service a --name of one line.');
      const made = await withServices(out, (services) => serviceClients(services).create(name, COMMAND_LINE));
      const shown = { client_id: made.id, client_secret: made.secret };
      for (const line of values.json ? [JSON.stringify(shown, null, 2)] : table(Object.entries(shown))) out.print(line);
      return 0;
    }
    if (verb === 'list') {
      const found = await withServices(out, (services) => serviceClients(services).list());
      const rows = found.map((client) => [client.id, client.name, client.createdAt.toISOString(), client.revokedAt?.toISOString() ?? '']);
      const json = rows.map(([client_id, name, created_at, revoked_at]) => ({
        client_id,
        name,
        created_at,
        revoked_at: revoked_at || null,
      }));
      for (const line of values.json ? [JSON.stringify(json, null, 2)] : table([['CLIENT ID', 'NAME', 'MADE', 'REVOKED'], ...rows]))
        out.print(line);
      return 0;
    }
    if (verb === 'revoke') {
      if (id === undefined || positionals.length > 1) throw new UsageMistake('Name one client by its CLIENT_ID.');
      const refusal = await withServices(out, (services) => serviceClients(services).revoke(id, COMMAND_LINE));
      if (isRefusal(refusal)) throw new Error(`There is no client ${id} that is not revoked.`);
      out.print(`${id} is revoked`);
      return 0;
    }
    throw new UsageMistake(verb === undefined ? 'Say what to do with the clients.' : `clients cannot "${verb}".`);
  },
};

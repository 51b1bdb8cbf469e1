import { parseArgs } from 'node:util';
import { type Desk, openDesk, STATES } from '#infrastructure/postgres/outbox-desk.ts';
import { loadConfig } from '../config.ts';
import { type Command, type Output, table, UsageMistake } from './command.ts';
import { withAddress } from './with-address.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Mail and SMS that wait, died or were sent. What they say is sealed and never shown. */
export const outbox: Command = {
  summary: 'list mail and SMS, and send dead letters again',
  help: `Usage: latchkey outbox list [--state waiting|dead|sent] [--limit N] [--json]
       latchkey outbox replay ID... | --all

list    what waits, died or was sent, newest first (50 unless --limit says otherwise): when, to whom, and what the provider
        said; never what it says. A dead letter was refused for good (bounced), was not taken in time (expired), or was sealed
        with another SECRET_KEY (unreadable)
replay  puts dead letters back in the queue; the service sends them within a second. Possible until what they carry has
        expired: then their content is erased

Examples:
  latchkey outbox list --state dead
  latchkey outbox replay --all`,

  async run(args, out) {
    const [verb, ...rest] = args;
    if (verb === 'list') return await list(rest, out);
    if (verb === 'replay') return await replay(rest, out);
    throw new UsageMistake(verb === undefined ? 'Say what to do with the outbox.' : `outbox cannot "${verb}".`);
  },
};

async function list(args: string[], out: Output): Promise<number> {
  const options = { state: { type: 'string' }, limit: { type: 'string' }, json: { type: 'boolean' } } as const;
  const { values } = parseArgs({ args, options });
  const state = STATES.find((known) => known === values.state) ?? null;
  if (values.state !== undefined && state === null) throw new UsageMistake(`--state is one of ${STATES.join(', ')}.`);
  const limit = Number(values.limit ?? '50');
  if (!Number.isInteger(limit) || limit < 1 || limit > 10_000) throw new UsageMistake('--limit is a whole number from 1 to 10000.');
  const messages = await atDesk(out, (desk) => desk.list(state, limit, new Date()));
  if (values.json) {
    out.print(JSON.stringify(messages, null, 2));
    return 0;
  }
  const rows = messages.map((message) => [
    message.id,
    message.state,
    message.kind,
    message.template,
    message.recipient,
    String(message.attempts),
    message.at.toISOString(),
    [message.failure, message.reply_code, message.last_error?.replace(/\s+/g, ' ')].filter((part) => part).join(': '),
  ]);
  for (const line of table([['ID', 'STATE', 'KIND', 'TEMPLATE', 'TO', 'TRIES', 'AT', 'WHY'], ...rows])) out.print(line);
  return 0;
}

async function replay(args: string[], out: Output): Promise<number> {
  const { values, positionals: ids } = parseArgs({ args, allowPositionals: true, options: { all: { type: 'boolean' } } });
  if (values.all === true ? ids.length > 0 : ids.length === 0) throw new UsageMistake('Name dead letters by their ID, or give --all.');
  const odd = ids.find((id) => !UUID.test(id));
  if (odd !== undefined) throw new UsageMistake(`"${odd}" is not the ID of a message.`);
  const replayed = await atDesk(out, (desk) => desk.replay(values.all ? null : ids, new Date()));
  out.print(`${replayed.length} put back in the queue`);
  const left = ids.filter((id) => !replayed.includes(id.toLowerCase()));
  for (const id of left) out.complain(`${id} is no dead letter that can still be read`);
  return left.length > 0 ? 1 : 0;
}

async function atDesk<T>(out: Output, work: (desk: Desk) => Promise<T>): Promise<T> {
  const config = loadConfig({ ...process.env, NODE_ENV: undefined }); // what production asks of a service is not asked here
  return await withAddress(config, out.complain, async (address) => {
    const desk = openDesk(address);
    try {
      return await work(desk);
    } finally {
      await desk.close();
    }
  });
}

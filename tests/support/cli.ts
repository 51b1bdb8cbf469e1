import { latchkey } from '#cli/latchkey.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import type { Environment } from '#src/config.ts';

export type Ran = { code: number; printed: string[]; complained: string[] };

/** Runs `latchkey` in this process with these settings, on this database. */
export async function runLatchkey(args: readonly string[], address: DatabaseAddress, settings: Environment = {}): Promise<Ran> {
  const ran = { printed: [] as string[], complained: [] as string[] };
  const added: Environment = { ...variablesOf(address), ...settings };
  const before = { ...process.env };
  setAll(added);
  try {
    const output = { print: (line: string) => void ran.printed.push(line), complain: (line: string) => void ran.complained.push(line) };
    return { code: await latchkey(args, output), ...ran };
  } finally {
    setAll(Object.fromEntries(Object.keys(added).map((name) => [name, before[name]])));
  }
}

/** Undefined: not there. */
function setAll(settings: Environment): void {
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

/** A URL has no room for the folder of a socket: then the client takes it from the variables that PostgreSQL's own programs read. */
function variablesOf(address: DatabaseAddress): Environment {
  if ('url' in address) return { DATABASE_URL: address.url };
  return { DATABASE_URL: `postgres:///${address.database}`, PGHOST: address.socketDirectory, PGUSER: address.user };
}

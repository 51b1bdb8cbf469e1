import postgres, { type ISql, type Sql } from 'postgres';
import { knock } from './knock.ts';

/** Where PostgreSQL is: a URL, or the socket of the embedded one. */
export type DatabaseAddress = { url: string } | { socketDirectory: string; user: string; database: string };

/** The pool or a transaction: what a statement can be sent with. */
export type Handle = ISql;

/**
 * A client of postgres.js; it connects with the first statement. Types are not asked for at connect, notices are not printed, and
 * statements are not prepared unless the options say so: commands and migrations then work behind PgBouncer too.
 */
export function connect(address: DatabaseAddress, options: postgres.Options<Record<string, never>> = {}): Sql {
  const all = { onnotice: () => {}, fetch_types: false, prepare: false, ...options };
  if ('url' in address) return postgres(address.url, all);
  // The port is part of the socket's name. What is not said here postgres.js would take from PGPORT, which is for other servers.
  return postgres({ ...all, host: address.socketDirectory, port: 5432, username: address.user, database: address.database });
}

/**
 * Whether a server, or PgBouncer, opens at an address within `timeoutMs`, whoever asks.
 * @returns `door` as people read it, without user or password
 */
export async function answers(address: DatabaseAddress, timeoutMs: number): Promise<{ door: string; isThere: boolean }> {
  const client = connect(address, { max: 1 }); // connects with the first statement, and there is none
  const door = doorOf(client);
  return { door: 'path' in door ? door.path : `${door.host}:${door.port}`, isThere: await knock(door, timeoutMs) };
}

/** Where a client of postgres.js connects to, for a socket of our own. */
export function doorOf({ options }: Sql): { path: string } | { host: string; port: number } {
  const { host, port, path } = options;
  return path ? { path } : { host: host[0] ?? 'localhost', port: port[0] ?? 5432 };
}

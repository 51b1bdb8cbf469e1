import pino from 'pino';

/** What of an error's own fields may stand in the log: which kind it is and where it came from, never what was in it. */
const TOLD = [
  'code',
  'errno',
  'syscall',
  'address',
  'port',
  'hostname',
  'statusCode',
  'severity',
  'table_name',
  'constraint_name',
  'routine',
];

/** A name that has two addresses fails twice. */
const MOST_PARTS = 5;

/**
 * An error as the log shows it. PostgreSQL puts the row that it refused into `detail`, password hash and address included, and libraries put
 * requests, keys and statements into fields of their own: only what is listed goes on (ASVS 16.2.5).
 */
export function loggedError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = pino.stdSerializers.err(error);
  const told = Object.fromEntries(TOLD.flatMap((name) => (name in error ? [[name, Reflect.get(error, name)]] : [])));
  const parts = error instanceof AggregateError ? { errors: error.errors.slice(0, MOST_PARTS).map(loggedError) } : {};
  return { type, ...(error.name === type ? {} : { name: error.name }), message, stack, ...told, ...parts };
}

/** The same for a terminal, where there is no log yet: stacks and causes, and no field of an error. */
export function printedError(error: unknown): string {
  return error instanceof Error ? (pino.stdSerializers.err(error).stack ?? error.message) : String(error);
}

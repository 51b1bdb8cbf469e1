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

/**
 * An error as the log shows it. PostgreSQL puts the row that it refused into `detail`, password hash and address included, and libraries put
 * requests, keys and statements into fields of their own: only what is listed goes on (ASVS 16.2.5).
 */
export function loggedError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = pino.stdSerializers.err(error);
  const told = TOLD.flatMap((name) => (name in error ? [[name, Reflect.get(error, name)]] : []));
  return { type, message, stack, ...Object.fromEntries(told) };
}

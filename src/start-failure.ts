import path from 'node:path';
import { isBroken } from '#infrastructure/postgres/failure.ts';
import type { Config } from './config.ts';

/** A start that failed for a reason outside of the program, in a sentence that names the setting: a stack would only hide it. */
export class StartFailure extends Error {
  readonly isForPeople = true;
}

type SystemError = Error & { code: string; syscall?: string; hostname?: string; port?: number; path?: string };
type Settings = Pick<Config, 'HOST' | 'PORT' | 'METRICS_PORT' | 'DATA_DIR' | 'KEYS_DIR' | 'DATABASE_URL'>;

/** @returns a StartFailure for what an operator can mend by a setting, a folder or a server; any other error as it is */
export function startFailure(error: unknown, config: Settings): unknown {
  if (!(error instanceof Error) || 'isForPeople' in error || !('code' in error)) return error;
  const failure = error as SystemError;
  const sentence = ofSocket(failure, config) ?? ofDatabase(failure, config) ?? ofFolder(failure, config);
  return sentence === null ? error : new StartFailure(sentence, { cause: error });
}

function ofSocket({ code, port, syscall, hostname }: SystemError, config: Settings): string | null {
  const isMetrics = port !== undefined && port === config.METRICS_PORT && port !== config.PORT;
  const at = isMetrics ? `METRICS_PORT=${port}` : `PORT=${config.PORT}`;
  if (syscall !== 'listen' && syscall !== 'getaddrinfo') return null;
  if (code === 'EADDRINUSE') return `${at}: something else listens there already. End it, or choose another port.`;
  if (code === 'EACCES') return `${at}: this user may not listen there. Choose a port above 1023.`;
  const isNoAddress = code === 'EADDRNOTAVAIL' || (syscall === 'getaddrinfo' && hostname === config.HOST);
  return isNoAddress ? `HOST=${config.HOST}: this machine has no such address to listen on.` : null;
}

function ofDatabase(error: SystemError, { DATABASE_URL }: Settings): string | null {
  if (DATABASE_URL === undefined || error.path !== undefined || !isBroken(error)) return null;
  const { hostname, port } = new URL(DATABASE_URL.reveal());
  const said = error.message || error.code;
  const isTls = /secure TLS connection|does not support SSL/i.test(said);
  const hint = isTls ? ' Does the server speak TLS, as sslmode asks?' : '';
  return `DATABASE_URL: ${hostname || 'the socket'}${port && `:${port}`} lets nobody in: ${said}.${hint} "latchkey doctor" looks further.`;
}

function ofFolder({ path: at, message }: SystemError, { DATA_DIR, KEYS_DIR }: Settings): string | null {
  if (at === undefined) return null;
  const isIn = (folder: string) => `${path.resolve(at)}${path.sep}`.startsWith(`${path.resolve(folder)}${path.sep}`) || isAbove(at, folder);
  const name = isIn(KEYS_DIR) ? `KEYS_DIR=${KEYS_DIR}` : isIn(DATA_DIR) ? `DATA_DIR=${DATA_DIR}` : null;
  return name === null ? null : `${name}: ${message}. It must be a folder that this user may write.`;
}

/** A parent that cannot be made is named by the system in its stead. */
function isAbove(at: string, folder: string): boolean {
  return path.resolve(folder).startsWith(`${path.resolve(at)}${path.sep}`);
}

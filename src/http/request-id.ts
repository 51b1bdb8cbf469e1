import { randomUUIDv7 } from 'node:crypto';

const WELL_FORMED = /^[A-Za-z0-9._~-]{1,128}$/;

/** The id of a request: the caller's `X-Request-Id` when it is well formed, else a new one. It cannot break a log line. */
export function requestIdOf(given: string | string[] | undefined): string {
  return typeof given === 'string' && WELL_FORMED.test(given) ? given : randomUUIDv7();
}

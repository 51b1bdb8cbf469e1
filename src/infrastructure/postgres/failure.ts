/** What an error of postgres.js says about the server. */

const BROKEN = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT', // the socket of the embedded server
  'ETIMEDOUT',
  'EADDRNOTAVAIL', // an IPv6 address from a machine that has none
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  '53300', // too many connections
  '57P01', // shut down by an administrator
  '57P02', // shut down by a crash
  '57P03', // starting up
  '28000', // lets nobody in: the role or pg_hba.conf,
  '28P01', // its password,
  '3D000', // the database
]);

/** What TLS makes of a peer that it does not trust, or of bytes that are none of its own. */
const TLS = /^(ERR_SSL_|ERR_TLS_|EPROTO$)|CERT|^UNABLE_TO_/;

const LATE = new Set([
  '57014', // statement_timeout
  '55P03', // lock_timeout
  '40P01', // deadlock_detected: of those who wait for each other it lets one go
]);

/** It is there, and cannot do what it is asked for: what we ask is not at fault, and works again when its operator has seen to it. */
const UNABLE = new Set([
  '53100', // the disk is full
  '53200', // out of memory
  '58030', // the disk fails
  '25006', // read-only: a standby, until it is promoted
]);

/** Somebody else wrote the same key first. */
export function isTaken(error: unknown): boolean {
  return codeOf(error) === '23505'; // unique_violation
}

/** The connection broke or could not be made, or nobody is let in: nobody says whether the statement was done. */
export function isBroken(error: unknown): boolean {
  const code = codeOf(error);
  return BROKEN.has(code) || code.startsWith('08') || TLS.test(code);
}

/** The server gave up by itself, at the limits that every connection sets. */
export function isLate(error: unknown): boolean {
  return LATE.has(codeOf(error));
}

/** The server could not, for want of a disk, of memory or of the right to write. The statement was not done. */
export function isUnable(error: unknown): boolean {
  return UNABLE.has(codeOf(error));
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

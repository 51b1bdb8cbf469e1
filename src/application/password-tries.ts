import type { AuditEvent, AuditEventType } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { secondsUntil } from '#domain/lifetimes.ts';
import { EVERYWHERE } from '#domain/lockout.ts';
import { type About, auditEvent } from './audit.ts';
import type { CountedLane, PasswordTry } from './ports/hot-paths.ts';
import type { Needs } from './ports/services.ts';

/**
 * Judges a try that was counted, or does what a right one is good for. One that came to nothing (the queue is full, the database is
 * away) is taken back, if that can be: a bad day locks nobody out.
 */
export async function judged<T>({ store }: Needs<'store'>, tried: PasswordTry, judge: () => Promise<T>): Promise<T> {
  try {
    return await judge();
  } catch (error) {
    await store.transaction((tx) => tx.throttles.takeBack(tried));
    throw error;
  }
}

/** What a wrong password is recorded as: the failure, and each kind of lock that begins with it. */
export function failureEvents(
  { secrets }: Needs<'secrets'>,
  type: AuditEventType,
  tried: PasswordTry,
  client: Client,
  at: Date,
  about: About,
): [AuditEvent, ...AuditEvent[]] {
  const locks = new Map(tried.lanes.filter(({ isLocking }) => isLocking).map((lane) => [kindOf(lane), lane]));
  const locked = [...locks].map(([lane, { lockedUntil }]) => {
    const details = { lane, lock_seconds: lockedUntil === null ? 0 : secondsUntil(lockedUntil, at) };
    return auditEvent(secrets, 'ACCOUNT_LOCKED', client, at, { ...about, details });
  });
  return [auditEvent(secrets, type, client, at, about), ...locked];
}

/** Whose tries a lane counts. */
function kindOf({ network }: CountedLane): 'network' | 'device' | 'session' | 'everywhere' {
  if (network === EVERYWHERE.network) return 'everywhere';
  if (network === 'any') return 'session';
  return network.startsWith('device:') ? 'device' : 'network';
}

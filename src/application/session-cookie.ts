import { secondsUntil } from '#domain/lifetimes.ts';
import type { Needs } from './ports/services.ts';
import type { Session } from './ports/sessions.ts';
import type { Writes } from './ports/store.ts';

/** What a browser gets to hold a session by, and what its pages show to use it. */
export type SessionCookie = { value: string; csrfToken: string; maxAgeSeconds: number };

/** The cookie of a stored session, from the value whose hash its row has. */
export function cookieOf({ csrfTokens }: Needs<'csrfTokens'>, session: Session, value: string, at: Date): SessionCookie {
  return { value, csrfToken: csrfTokens.issue(session.id), maxAgeSeconds: secondsUntil(session.absoluteEndAt, at) };
}

/** A new value for a session whose privilege rises; the one before is dead at once (ASVS 7.2.4). @returns null for a bearer session */
export async function renewCookie(
  needs: Needs<'secrets' | 'csrfTokens'>,
  tx: Writes,
  session: Session,
  at: Date,
): Promise<SessionCookie | null> {
  if (session.transport !== 'cookie') return null;
  const { token, hash } = needs.secrets.ticket();
  await tx.sessions.renewCookie(session.id, hash);
  return cookieOf(needs, session, token, at);
}

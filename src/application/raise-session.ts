import { acrOf, amrOf, type Factor, type Proof, withoutFactors, withProof } from '#domain/assurance.ts';
import type { Needs } from './ports/services.ts';
import type { Session, SessionWithProofs } from './ports/sessions.ts';
import type { Writes } from './ports/store.ts';
import { renewCookie, type SessionCookie } from './session-cookie.ts';

/**
 * Adds what was just proved to a locked session: its `amr` and `acr` follow.
 * @param renews whether it counts as an authentication (`auth_time`), or only as one more factor, as an enrolment does: whoever
 * enrols shows that the new factor works, not who they are
 * @returns the session as it is now, with its new cookie when a browser holds it
 */
export async function raiseSession(
  needs: Needs<'secrets' | 'csrfTokens'>,
  tx: Writes,
  session: SessionWithProofs,
  factor: Factor,
  at: Date,
  { renews }: { renews: boolean },
): Promise<{ session: Session; cookie: SessionCookie | null }> {
  const raised = await withProofs(tx, session, withProof(session.proofs, { factor, at }), renews ? at : session.authTime);
  return { session: raised, cookie: await renewCookie(needs, tx, raised, at) };
}

/** Takes back what a factor that is gone was worth to a locked session. */
export async function lowerSession(tx: Writes, session: SessionWithProofs, factors: readonly Factor[]): Promise<SessionWithProofs> {
  return await withProofs(tx, session, withoutFactors(session.proofs, factors), session.authTime);
}

async function withProofs(tx: Writes, session: SessionWithProofs, proofs: Proof[], authTime: Date): Promise<SessionWithProofs> {
  const changed = { ...session, proofs, amr: amrOf(proofs), acr: acrOf(proofs), authTime };
  await tx.sessions.setProofs(changed);
  return changed;
}

import { acrOf, amrOf, type Factor, withProof } from '#domain/assurance.ts';
import type { Session, Writes } from './ports/store.ts';

/**
 * Adds what was just proved to a session: its `amr` and `acr` follow.
 * @param renews whether it counts as an authentication (`auth_time`), or only as one more factor, as an enrolment does: whoever
 * enrols shows that the new factor works, not who they are
 * @returns the session as it is now, null when it has ended
 */
export async function raiseSession(
  tx: Writes,
  sessionId: string,
  factor: Factor,
  at: Date,
  { renews }: { renews: boolean },
): Promise<Session | null> {
  const session = await tx.sessions.lockWithProofs(sessionId, at);
  if (session === null) return null;
  const proofs = withProof(session.proofs, { factor, at });
  const raised = { ...session, proofs, amr: amrOf(proofs), acr: acrOf(proofs), authTime: renews ? at : session.authTime };
  await tx.sessions.setProofs(raised);
  return raised;
}

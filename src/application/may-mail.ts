import type { Refusal } from '#domain/problems.ts';
import type { Allowance, Bucket, Needs } from './ports/services.ts';

/**
 * Draws the limits of the request, and whether this address may get another mail that a stranger can ask for: as many as
 * RATE_LIMIT_PASSWORD_RESET allows, so that nobody's mailbox is flooded (ASVS 2.4.1, T22). Counted by recipient, with an account or
 * without; who had enough of them shows in no answer.
 * @throws DependencyDown when the limiter does not answer (fail closed)
 */
export async function mayMail(
  { secrets }: Needs<'secrets'>,
  allowance: Allowance,
  canonicalEmail: string,
): Promise<boolean | Refusal<'rate-limited'>> {
  const { refusal, also } = await allowance.take([mailbox(secrets, canonicalEmail)]);
  return refusal ?? also.allowed;
}

/** The bucket of the mails to an address. */
export function mailbox(secrets: Needs<'secrets'>['secrets'], canonicalEmail: string): Bucket {
  return { limit: 'password-reset', key: `mail:${secrets.identifierHash(canonicalEmail).toString('base64url')}` };
}

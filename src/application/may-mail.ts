import type { Refusal } from '#domain/problems.ts';
import type { Allowance, Bucket, Needs } from './ports/services.ts';

type MailKind = 'reset-mail' | 'mail';

/**
 * Draws the limits of the request, and whether this address may get another mail that a stranger can ask for: as many as
 * RATE_LIMIT_PASSWORD_RESET allows, so that nobody's mailbox is flooded (ASVS 2.4.1, T22). Counted by recipient, with an account or
 * without; who had enough of them shows in no answer. Links that reset a password count by themselves: who registers somebody's address
 * again and again must not keep them from their account.
 * @throws DependencyDown when the limiter does not answer (fail closed)
 */
export async function mayMail(
  { secrets }: Needs<'secrets'>,
  allowance: Allowance,
  canonicalEmail: string,
  kind: MailKind,
): Promise<boolean | Refusal<'rate-limited'>> {
  const { refusal, also } = await allowance.take([mailbox(secrets, canonicalEmail, kind)]);
  return refusal ?? also.allowed;
}

/** The bucket of the mails of a kind to an address. */
export function mailbox(secrets: Needs<'secrets'>['secrets'], canonicalEmail: string, kind: MailKind): Bucket {
  return { limit: 'password-reset', key: `${kind}:${secrets.identifierHash(canonicalEmail).toString('base64url')}` };
}

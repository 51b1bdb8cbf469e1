import type { Needs } from './ports/services.ts';

/**
 * Whether this address may get another mail that a stranger can ask for: as many as RATE_LIMIT_PASSWORD_RESET allows, so
 * that nobody's mailbox is flooded (ASVS 2.4.1, T22). Counted by recipient, with an account or without.
 * @throws DependencyDown when the limiter does not answer (fail closed)
 */
export async function mayMail({ limiter, secrets }: Needs<'limiter' | 'secrets'>, canonicalEmail: string): Promise<boolean> {
  const key = `mail:${secrets.identifierHash(canonicalEmail).toString('base64url')}`;
  return (await limiter.take([{ limit: 'password-reset', key }], 'refuse')).allowed;
}

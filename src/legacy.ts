import type { Logger } from 'pino';
import { legacyCaller } from '#application/legacy-caller.ts';
import type { Needs } from '#application/ports/services.ts';
import type { Keyring } from '#infrastructure/crypto/keyring.ts';
import { seldom } from '#infrastructure/schedule/seldom.ts';
import type { Config } from './config.ts';

const TOLD_MS = 60_000;

/** Tokens of the service that this one replaces, while there are settings for it; its use is told once a minute, for whoever waits for the end. */
export async function openLegacy(config: Config, services: Needs<'store' | 'clock'>, keyring: Keyring, log: Logger) {
  const { LEGACY_JWKS_URL: jwksUrl, LEGACY_HS256_SECRET: secret, LEGACY_TOKENS_UNTIL: until } = config;
  if (until === undefined || until <= services.clock.now()) return null;
  const { legacyTokens } = await import('#infrastructure/legacy/legacy-tokens.ts');
  const old = { jwksUrl, hs256Secret: secret?.reveal(), issuer: config.LEGACY_ISSUER, audience: config.LEGACY_AUDIENCE };
  const says = { isAccess: config.LEGACY_ACCESS_CLAIM, subjectForm: config.LEGACY_SUBJECT };
  const tokens = legacyTokens({ ...old, ...says, until }, (kid) => keyring.find(kid) !== null);
  let used = 0;
  const tell = seldom(TOLD_MS, () => {
    log.info({ used }, 'tokens of the old issuer are still used');
    used = 0;
  });
  return legacyCaller(services, tokens, () => {
    used += 1;
    tell();
  });
}

/** What an operator must not forget: another issuer's tokens count, or the settings for it are left over. */
export function legacyNotice({ LEGACY_TOKENS_UNTIL: until }: Config, now: Date): string | null {
  if (until === undefined) return null;
  if (until > now) return `Access tokens of the old issuer read here until ${until.toISOString()} (LEGACY_TOKENS_UNTIL)`;
  return `LEGACY_TOKENS_UNTIL passed on ${until.toISOString()}: take the LEGACY_ settings out, and the old secret with them`;
}

import { type Finding, found } from './findings.ts';
import { PUBLISH_LEAD_SECONDS } from './key-rotation.ts';

/**
 * What SECURITY_PROFILE=strict asks of each setting (OWASP ASVS 5.0 L3, NIST SP 800-63B-4 AAL2), and by which requirement. The bound is
 * what strict takes as its default; what is harder than that is as good.
 */
type Rule = { requirement: string; asks: string } & ({ most: number } | { least: number } | { oneOf: readonly string[] });

export const STRICT_RULES = {
  JWT_ALGORITHM: { requirement: 'V11.6.1', asks: 'signatures without the padding of PKCS#1 v1.5', oneOf: ['ES256', 'PS256', 'Ed25519'] },
  ACCESS_TOKEN_EXPIRE_MINUTES: { requirement: 'V7.4.1', asks: 'tokens that other services take soon follow their session', most: 5 },
  SESSION_BINDING: { requirement: '63B-4 5.3', asks: 'a session that turns up elsewhere ends', oneOf: ['revoke'] },
  REFRESH_REUSE_GRACE_SECONDS: { requirement: 'V10.4.5', asks: 'any reuse of a refresh token ends its session', most: 0 },
  MIN_PASSWORD_LENGTH: { requirement: 'V6.2.1', asks: '15 characters where a password stands alone', least: 15 },
  STEP_UP_MAX_AGE_SECONDS: { requirement: 'V7.5.3', asks: 'sensitive requests follow an authentication', most: 300 },
  MFA_REQUIRED: { requirement: 'V6.3.3', asks: 'everybody holds a second factor', oneOf: ['true'] },
  SMS_MFA: { requirement: 'V6.6.1', asks: 'a phone is no second factor', oneOf: ['false'] },
  TOTP_PAST_STEPS: { requirement: 'V6.5.5', asks: 'codes live for 30 seconds', most: 0 },
  PASSKEY_COUNTER: { requirement: 'WebAuthn 6.1.1', asks: 'an authenticator that may be a copy is none', oneOf: ['refuse'] },
  REQUIRE_UPPERCASE: { requirement: 'V6.2.5', asks: 'no rules of composition', oneOf: ['false'] },
  REQUIRE_NUMBERS: { requirement: 'V6.2.5', asks: 'no rules of composition', oneOf: ['false'] },
  REQUIRE_SPECIAL_CHARS: { requirement: 'V6.2.5', asks: 'no rules of composition', oneOf: ['false'] },
  REGISTRATION_CONFLICTS: { requirement: 'V6.3.8', asks: 'nobody learns who has an account', oneOf: ['hide'] },
  SESSION_IDLE_TIMEOUT_MINUTES: { requirement: 'V7.3.1', asks: 'an hour without use ends a session (63B-4 2.2.3)', most: 60 },
  SESSION_ABSOLUTE_TIMEOUT_HOURS: { requirement: 'V7.3.2', asks: 'a day ends a session (63B-4 2.2.3)', most: 24 },
  SMTP_TLS: { requirement: 'V12.3.1', asks: 'mail goes out under TLS', oneOf: ['on', 'implicit'] },
} as const satisfies Record<string, Rule>;

export type StrictSetting = keyof typeof STRICT_RULES;
export type StrictSettings = Record<StrictSetting, string | number | boolean>;

/** What is so beyond settings: the bits of the RSA key that signs (null: it is none), and what is too weak in Argon2id (null: nothing). */
type Beyond = { rsaBits: number | null; argon2Weakness: string | null; isStrict: boolean };
const LEAST_RSA_BITS = 3072;

/**
 * Every deviation from the strict profile, by requirement. Where strict is set and something takes a part of it back, that is a
 * warning; else they are notes.
 */
export function judgeProfile(settings: StrictSettings, { rsaBits, argon2Weakness, isStrict }: Beyond): Finding[] {
  const id = isStrict ? 'strict-weakened' : 'strict-deviation';
  const findings = Object.entries<Rule>(STRICT_RULES).flatMap(([name, rule]) => {
    const value = settings[name as StrictSetting];
    if (meets(value, rule)) return [];
    const todo = `Set ${name}=${wanted(rule)}${isStrict ? ', or take it out' : ''}.`;
    return [found(id, `${name}=${value}; ${rule.requirement} asks: ${rule.asks}.`, { todo, requirement: rule.requirement })];
  });
  if (rsaBits !== null && rsaBits < LEAST_RSA_BITS) {
    const todo = `latchkey keys generate --bits 3072 (or --alg ES256), ${PUBLISH_LEAD_SECONDS / 60} minutes later latchkey keys rotate.`;
    findings.push(
      found(id, `The key that signs has ${rsaBits} bits; V11.2.3 asks: 128 bits of strength.`, { todo, requirement: 'V11.2.3' }),
    );
  }
  if (argon2Weakness !== null) {
    const todo = 'Raise ARGON2_MEMORY_KIB or ARGON2_TIME_COST.';
    findings.push(found(id, `${argon2Weakness}.`, { todo, requirement: 'V11.4.2' }));
  }
  return findings;
}

function meets(value: string | number | boolean, rule: Rule): boolean {
  if ('most' in rule) return Number(value) <= rule.most;
  if ('least' in rule) return Number(value) >= rule.least;
  return rule.oneOf.includes(String(value));
}

function wanted(rule: Rule): string {
  if ('most' in rule) return String(rule.most);
  if ('least' in rule) return String(rule.least);
  return rule.oneOf[0] ?? '';
}

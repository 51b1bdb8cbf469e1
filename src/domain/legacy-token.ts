import { type Email, parseEmail } from './email.ts';

/**
 * Who an access token of the replaced service speaks for. Its `sub` is an id that came along with the import, or else it says itself
 * that the e-mail address is verified: what somebody merely wrote into a form over there names nobody here.
 */
export type LegacySubject = { accountId: string | null; email: Email | null };

/** The claim that only access tokens carry, as `type=access`; null: that service has no other tokens, or signs them with another key. */
export type AccessClaim = { name: string; value: string } | null;

/**
 * How its `sub` names an account: `uuid`, the id itself that came along with the import, or `integer`, the number that the import's id was
 * made of (docs/migrate/native-and-cognito.md).
 */
export const LEGACY_SUBJECTS = ['uuid', 'integer'] as const;
export type SubjectForm = (typeof LEGACY_SUBJECTS)[number];

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** As a database writes it: 042, +42 and 42.0 were never anybody's id. */
const INTEGER = /^(?:0|[1-9]\d{0,14})$/;
const MOST_IN_A_UUID = 0xffff_ffff_ffff;

/**
 * Refresh tokens, links and codes of such services are JWTs under the same key: one that does not say that it is an access token is none.
 * @returns null for a token that names nobody, or is for something else
 */
export function subjectOf(claims: Readonly<Record<string, unknown>>, isAccess: AccessClaim, form: SubjectForm): LegacySubject | null {
  if (isAccess !== null && claims[isAccess.name] !== isAccess.value) return null;
  const { sub, email: address, email_verified: isVerified } = claims;
  // RFC 7519 4.1.2 asks for a string. Services with integer ids often wrote the number.
  const said = form === 'integer' && typeof sub === 'number' ? String(sub) : sub;
  if (typeof said !== 'string') return null;
  const accountId = form === 'integer' ? uuidOfInteger(said) : uuidOf(said);
  const email = isVerified === true && typeof address === 'string' ? (parseEmail(address) ?? null) : null;
  return accountId === null && email === null ? null : { accountId, email };
}

function uuidOf(sub: string): string | null {
  const id = sub.toLowerCase();
  return UUID.test(id) ? id : null;
}

/** What the export of docs/migrate/native-and-cognito.md makes of an integer id: a UUID (version 8) with the number in its last 12 digits. */
function uuidOfInteger(sub: string): string | null {
  if (!INTEGER.test(sub) || Number(sub) > MOST_IN_A_UUID) return null;
  return `00000000-0000-8000-8000-${Number(sub).toString(16).padStart(12, '0')}`;
}

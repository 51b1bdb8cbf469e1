import { z } from 'zod';
import type { PhoneNumbers } from '#application/ports/services.ts';
import { parseEmail } from '#domain/email.ts';
import { ROLES, type Role } from '#domain/roles.ts';
import { parseUsername } from '#domain/username.ts';
import { displayName, username } from '#http/fields.ts';
import { foreignHash } from '#infrastructure/crypto/foreign-hashes/foreign-hashes.ts';
import { type FirebaseParameters, firebaseHash } from '#infrastructure/crypto/foreign-hashes/scrypt.ts';
import type { ImportedUser } from '#infrastructure/postgres/import-users.ts';
import { PasskeyRecords, readPasskeys } from './passkey-record.ts';
import { isPast, NOT_PAST, pastTime } from './past-time.ts';

const roleNames = Object.keys(ROLES) as [Role, ...Role[]];

/** A user in a file, as docs/import.md describes it; `null` is as good as left out. */
const UserRecord = z.strictObject({
  id: z.guid('It is no UUID.').toLowerCase().nullish(),
  email: z.string('Give it.'),
  email_verified: z.boolean('Say true or false.'),
  username: username.nullish(),
  display_name: displayName.nullish(),
  password_hash: z.string().max(2048).nullish(),
  password_salt: z.string().max(256).nullish(),
  roles: z
    .array(z.enum(roleNames, `Roles are ${roleNames.join(', ')}.`))
    .max(16)
    .nullish(),
  status: z.enum(['active', 'suspended'], 'It is active or suspended.').nullish(),
  created_at: pastTime.nullish(),
  totp_secret: z.string().max(256).nullish(),
  totp_secret_fernet: z.string().max(1024).nullish(),
  mfa_phone: z.string().max(32).nullish(),
  passkeys: PasskeyRecords.nullish(),
});

type Fields = z.output<typeof UserRecord>;

/** Of CSV, which has no passkeys: a cell holds one value, or words. */
export const COLUMNS: string[] = Object.keys(UserRecord.shape).filter((name) => name !== 'passkeys');

export type Helpers = {
  /** Opens a Fernet token of the old key. @returns undefined when no key at hand made it */
  openSecret(token: string): string | undefined;
  /** Encrypts with our own key. */
  seal(text: string): string;
  firebase: FirebaseParameters | null;
  phoneNumbers: PhoneNumbers;
  now: Date;
};

const BASE32_SECRET = /^[A-Z2-7]{16,128}$/; // 80 bits, as old authenticator apps had them, or more

/** What one entry of the file says. @returns the user, or why it is refused; never with a secret in it */
export async function readUser(input: object, helpers: Helpers): Promise<Omit<ImportedUser, 'line'> | { refused: string }> {
  const parsed = UserRecord.safeParse(input);
  if (!parsed.success)
    return { refused: parsed.error.issues.map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(': ')).join(' ') };
  const fields = parsed.data;
  if (!isUnicode(fields)) return { refused: 'It holds text that is not valid Unicode.' };
  const email = parseEmail(fields.email);
  if (email === undefined) return { refused: 'email: It is not an e-mail address.' };
  const createdAt = fields.created_at == null ? helpers.now : new Date(fields.created_at);
  if (!isPast(createdAt, helpers.now)) return { refused: `created_at: ${NOT_PAST}` };
  const passwordHash = passwordOf(fields, helpers);
  if (typeof passwordHash === 'object' && passwordHash !== null) return passwordHash;
  const totpSecret = totpOf(fields, helpers);
  if (typeof totpSecret === 'object' && totpSecret !== null) return totpSecret;
  const phone = fields.mfa_phone == null ? null : await helpers.phoneNumbers.parse(fields.mfa_phone);
  if (fields.mfa_phone != null && phone !== fields.mfa_phone)
    return { refused: 'mfa_phone: It is no mobile number in E.164, as +4915123456789.' };
  const passkeys = await readPasskeys(fields.passkeys ?? [], fields.id ?? null, helpers.now);
  if ('refused' in passkeys) return passkeys;
  if (!fields.email_verified && (totpSecret !== null || phone !== null || passkeys.length > 0))
    return { refused: 'email_verified: Nobody has proved the address, so whose factors these are is not known.' };
  const name = fields.username == null ? null : (parseUsername(fields.username) ?? null);
  return {
    id: fields.id ?? null,
    email,
    isVerified: fields.email_verified,
    username: name,
    displayName: fields.display_name ?? null,
    passwordHash,
    roles: fields.roles == null || fields.roles.length === 0 ? ['user'] : [...new Set(fields.roles)].sort(),
    status: fields.status ?? 'active',
    createdAt,
    totpSecret,
    phone,
    passkeys,
  };
}

/** Whether every text in it is one that PostgreSQL takes. */
function isUnicode(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0');
  return typeof value !== 'object' || value === null || Object.values(value).every(isUnicode);
}

/** Django writes `!` and noise for a user who has no password. */
function passwordOf({ password_hash: hash, password_salt: salt }: Fields, { firebase }: Helpers): string | null | { refused: string } {
  if (hash == null || hash.startsWith('!')) return null;
  if (salt == null) {
    const read = foreignHash(hash);
    return typeof read === 'function' ? hash : { refused: `password_hash: ${read.refused}` };
  }
  if (firebase === null) return { refused: 'password_salt: Only Firebase keeps it apart; give --firebase-hash-config.' };
  const kept = firebaseHash(firebase, Buffer.from(salt, 'base64'), Buffer.from(hash, 'base64'));
  if (kept === null) return { refused: "password_hash: It has not the length of the Firebase project's signer key." };
  const read = foreignHash(kept);
  return typeof read === 'function' ? kept : { refused: `password_hash: ${read.refused}` };
}

function totpOf(fields: Fields, { openSecret, seal }: Helpers): string | null | { refused: string } {
  const { totp_secret: plain, totp_secret_fernet: token } = fields;
  if (plain == null && token == null) return null;
  if (plain != null && token != null) return { refused: 'totp_secret: Give it or totp_secret_fernet, not both.' };
  const secret = token == null ? plain : openSecret(token);
  if (secret == null) return { refused: 'totp_secret_fernet: No Fernet key at hand made it; give --fernet-key-file.' };
  const normal = secret.replaceAll(/[\s-]/g, '').replace(/=+$/, '').toUpperCase();
  if (!BASE32_SECRET.test(normal)) return { refused: 'totp_secret: It is no base 32 of 80 bits or more.' };
  return seal(normal);
}

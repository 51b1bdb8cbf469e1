import { z } from 'zod';
import { MOST_PASSKEYS, UNNAMED_PASSKEY, userHandleOf } from '#domain/passkeys.ts';
import { passkeyName } from '#http/fields.ts';
import type { ImportedPasskey } from '#infrastructure/postgres/import-users.ts';
import { faultOfKey, MOST_KEY_BYTES } from '#infrastructure/webauthn/cose-key.ts';
import { bytes, bytesOf, knownTransports, MAX_CREDENTIAL_ID_BYTES, MAX_USER_HANDLE_BYTES } from '#infrastructure/webauthn/responses.ts';
import { isPast, NOT_PAST, pastTime } from './past-time.ts';

const MOST_COUNTED = 0xffff_ffff; // WebAuthn L3 6.1

/** Of an authenticator that does not tell. */
const NO_AAGUID = '00000000-0000-0000-0000-000000000000';

const base64url = (most: number) => bytes(most, `It is no base64url, without padding, of 1 to ${most} bytes.`);

/** A WebAuthn credential in a file, as docs/import.md describes it (WebAuthn L3 4, credential record). */
const PasskeyRecord = z.strictObject({
  credential_id: base64url(MAX_CREDENTIAL_ID_BYTES),
  public_key: base64url(MOST_KEY_BYTES),
  sign_count: z.int('Give a whole number.').min(0, 'It is below 0.').max(MOST_COUNTED, `It is above ${MOST_COUNTED}.`),
  user_handle: base64url(MAX_USER_HANDLE_BYTES).nullish(),
  transports: z.array(z.string().max(32)).max(16).nullish(),
  aaguid: z.guid('It is no UUID.').toLowerCase().nullish(),
  name: passkeyName.nullish(),
  backup_eligible: z.boolean('Say true or false.').nullish(),
  backed_up: z.boolean('Say true or false.').nullish(),
  created_at: pastTime.nullish(),
  last_used_at: pastTime.nullish(),
  flagged_at: pastTime.nullish(),
});

export const PasskeyRecords = z.array(PasskeyRecord).max(MOST_PASSKEYS, `An account holds ${MOST_PASSKEYS} at most.`);

/**
 * The passkeys of one user, in their order.
 * @param accountId the one that the user keeps; null: a new one, which no authenticator knows
 */
export async function readPasskeys(
  records: z.output<typeof PasskeyRecords>,
  accountId: string | null,
  now: Date,
): Promise<ImportedPasskey[] | { refused: string }> {
  const ids = new Set(records.map((record) => record.credential_id));
  if (ids.size < records.length) return { refused: 'passkeys: It names a credential twice.' };
  const passkeys: ImportedPasskey[] = [];
  for (const [index, record] of records.entries()) {
    const passkey = await readPasskey(record, accountId, now);
    if ('refused' in passkey) return { refused: `passkeys.${index}.${passkey.refused}` };
    passkeys.push(passkey);
  }
  return passkeys;
}

async function readPasskey(
  record: z.output<typeof PasskeyRecord>,
  accountId: string | null,
  now: Date,
): Promise<ImportedPasskey | { refused: string }> {
  const publicKey = bytesOf(record.public_key);
  const fault = await faultOfKey(publicKey);
  if (fault !== null) return { refused: `public_key: ${fault}` };
  const ours = accountId && userHandleOf(accountId);
  const given = record.user_handle == null ? null : bytesOf(record.user_handle);
  if (!ours && !given) return { refused: 'user_handle: Give it, or the id of the user that it is made of.' };
  const isBackedUp = record.backed_up ?? false;
  if (isBackedUp && record.backup_eligible === false) return { refused: 'backed_up: It cannot be without backup_eligible.' };
  const times = {
    created_at: instantOf(record.created_at),
    last_used_at: instantOf(record.last_used_at),
    flagged_at: instantOf(record.flagged_at),
  };
  for (const [name, at] of Object.entries(times)) if (at && !isPast(at, now)) return { refused: `${name}: ${NOT_PAST}` };
  return {
    credentialId: bytesOf(record.credential_id),
    publicKey,
    signCount: record.sign_count,
    userHandle: given && !(ours && given.equals(ours)) ? given : null,
    transports: knownTransports(record.transports ?? []),
    aaguid: record.aaguid ?? NO_AAGUID,
    name: record.name ?? UNNAMED_PASSKEY,
    isBackupEligible: record.backup_eligible ?? (isBackedUp || null),
    isBackedUp,
    createdAt: times.created_at ?? now,
    lastUsedAt: times.last_used_at,
    flaggedAt: times.flagged_at,
  };
}

function instantOf(text: string | null | undefined): Date | null {
  return text == null ? null : new Date(text);
}

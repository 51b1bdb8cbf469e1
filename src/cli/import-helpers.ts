import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { type FernetKey, fernetOpen, parseFernetKey } from '#infrastructure/crypto/fernet.ts';
import type { FirebaseParameters } from '#infrastructure/crypto/foreign-hashes/scrypt.ts';
import { phoneNumbers } from '#infrastructure/phone/phone-numbers.ts';
import type { Helpers } from './user-record.ts';
import type { Surroundings } from './with-users.ts';

/** What the lines of an import are read with; secrets come from files. */

export function helpersOf({ config, box }: Surroundings, oldKeys: FernetKey[], firebase: FirebaseParameters | null): Helpers {
  return {
    openSecret(token) {
      for (const key of oldKeys) {
        const text = fernetOpen(key, token)?.toString('utf8');
        if (text !== undefined) return text;
      }
      try {
        return box.open(token); // from an export of our own
      } catch {
        return undefined;
      }
    },
    seal: box.seal,
    firebase,
    phoneNumbers: phoneNumbers({ defaultCountry: undefined, countries: config.SMS_COUNTRIES }),
    now: new Date(),
  };
}

/** @throws when the file holds anything but keys */
export function fernetKeysIn(file: string): FernetKey[] {
  const texts = readFileSync(file, 'utf8')
    .split(/[\s,]+/)
    .filter(Boolean);
  const keys = texts.flatMap((text) => parseFernetKey(text) ?? []);
  if (keys.length === 0 || keys.length < texts.length)
    throw new Error(`${file} holds no Fernet key, or something else: 32 bytes in base64url, one a line`);
  return keys;
}

const FirebaseConfig = z.object({
  base64_signer_key: z.string().min(1),
  base64_salt_separator: z.string(),
  rounds: z.int().min(1).max(32),
  mem_cost: z.int().min(1).max(20),
});

/** @throws when a parameter is missing or out of measure */
export function firebaseParametersIn(file: string): FirebaseParameters {
  const parsed = FirebaseConfig.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success)
    throw new Error(`${file} needs base64_signer_key, base64_salt_separator, rounds and mem_cost, as Firebase shows them`);
  const { base64_signer_key: key, base64_salt_separator: separator, rounds, mem_cost: memCost } = parsed.data;
  return { signerKey: Buffer.from(key, 'base64'), saltSeparator: Buffer.from(separator, 'base64'), rounds, memCost };
}

import { z } from 'zod';
import { parseFernetKey } from '#infrastructure/crypto/fernet.ts';
import { list, text } from './schemas.ts';
import type { Setting } from './setting.ts';

const pem = z.string().min(1).max(16_384);

/** What signs, seals and encrypts. */
export const KEY_SETTINGS = {
  KEYS_DIR: { describe: 'the folder of the signing keys', schema: text, default: 'keys' },
  SECRET_KEY: {
    describe: 'at least 32 random characters; the keys for refresh tokens and sealed mail are derived from it',
    schema: z.string().min(32, 'give at least 32 random characters').max(4096),
    secret: true,
    production: 'required',
  },
  FERNET_KEY: {
    describe: 'comma-separated keys for secrets that must be read again (TOTP): the first encrypts, all decrypt',
    schema: list.pipe(
      z
        .array(z.string().refine((key) => parseFernetKey(key) !== undefined, 'give 32 bytes in base64url each'))
        .min(1, 'give at least one key'),
    ),
    secret: true,
    production: 'required',
  },
  JWT_PRIVATE_KEY: { describe: 'a signing key as PEM instead of KEYS_DIR', schema: pem, secret: true },
  JWT_PUBLIC_KEY: {
    describe:
      'its public key as PEM; checked to belong to it. Others beside it are published and verify too: the one before, the one to come',
    schema: pem,
  },
  JWT_ALGORITHM: {
    describe: 'of keys made here: RS256, PS256, ES256 or Ed25519',
    schema: z.enum(['RS256', 'PS256', 'ES256', 'Ed25519']),
    default: 'RS256',
    strict: 'ES256',
  },
} as const satisfies Record<string, Setting>;

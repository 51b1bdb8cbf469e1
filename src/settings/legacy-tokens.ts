import { z } from 'zod';
import { type AccessClaim, LEGACY_SUBJECTS } from '#domain/legacy-token.ts';
import { text, url } from './schemas.ts';
import type { Setting } from './setting.ts';

/** The time meant: of a day, its end in UTC. */
function endOf(value: string): Date {
  const at = new Date(value);
  if (!value.includes('T')) at.setUTCDate(at.getUTCDate() + 1);
  return at;
}

/** Access tokens of the service that this one replaces. */
export const LEGACY_TOKEN_SETTINGS = {
  LEGACY_JWKS_URL: {
    describe: 'the key set of the service that this one replaces: its access tokens read here for a while (docs/migrate/legacy-tokens.md)',
    schema: url('http:', 'https:'),
  },
  LEGACY_HS256_SECRET: {
    describe: 'or the secret that it signs them with (HS256)',
    schema: z.string().min(32, 'a secret of fewer than 32 characters can be found by trying; let everybody sign in instead').max(4096),
    secret: true,
  },
  LEGACY_TOKENS_UNTIL: {
    describe: 'needed with either: when they stop counting, as 2027-01-31 (to the end of that day, UTC) or 2027-01-31T18:00:00Z',
    schema: z
      .union([z.iso.date(), z.iso.datetime({ offset: true })], 'give a day or a time, as 2027-01-31 or 2027-01-31T18:00:00Z')
      .transform(endOf),
  },
  LEGACY_ISSUER: { describe: 'the `iss` that they must carry; needed with LEGACY_JWKS_URL (default: they carry none)', schema: text },
  LEGACY_AUDIENCE: { describe: 'an `aud` that they must carry (default: they carry none)', schema: text },
  LEGACY_ACCESS_CLAIM: {
    describe: 'what its access tokens say and its other tokens do not, as name=value; none: it has no others under that key',
    schema: z.string().transform((value, context): AccessClaim => {
      const [, name = '', said = ''] = /^([^=\s]+)=(\S+)$/.exec(value) ?? [];
      if (value !== 'none' && name === '') context.addIssue('give it as name=value, or none');
      return value === 'none' ? null : { name, value: said };
    }),
    default: 'type=access',
  },
  LEGACY_SUBJECT: {
    describe:
      'what their `sub` is: uuid, the id of the import, or integer, the number that the import made the id of (docs/migrate/native-and-cognito.md)',
    schema: z.enum(LEGACY_SUBJECTS),
    default: 'uuid',
  },
} as const satisfies Record<string, Setting>;

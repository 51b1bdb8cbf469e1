import { z } from 'zod';
import { flag, text, url, wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

/** Who judges passwords, and the user pool that may. */
export const COGNITO_SETTINGS = {
  AUTH_PROVIDER: {
    describe: 'who judges passwords: native (this service), cognito (a user pool of AWS), or both, as a sign-in asks for',
    schema: z.enum(['native', 'cognito', 'both']),
    default: 'native',
  },
  COGNITO_USER_POOL_ID: {
    describe: 'the user pool, as eu-central-1_Ab1Cd2Ef3',
    schema: z.string().regex(/^[A-Za-z0-9-]+_[A-Za-z0-9]+$/, 'give it as eu-central-1_Ab1Cd2Ef3'),
  },
  COGNITO_CLIENT_ID: { describe: 'an app client of it with ALLOW_USER_PASSWORD_AUTH', schema: text.max(128) },
  COGNITO_CLIENT_SECRET: { describe: 'its secret, if it has one', schema: text, secret: true },
  COGNITO_ENDPOINT: {
    describe: 'an emulator of Cognito (default: AWS_ENDPOINT_URL, else AWS in the region of the pool)',
    schema: url('http:', 'https:').transform((value) => value.replace(/\/$/, '')),
  },
  COGNITO_TIMEOUT_MS: {
    describe: 'how long it may take to answer; a pool with Lambda triggers needs more',
    schema: wholeNumber(100, 10_000),
    default: '400',
  },
  COGNITO_MIGRATE: {
    describe: 'true: who has no password here signs in with that of the user pool, and it is hashed here from then on',
    schema: flag,
    default: 'false',
  },
} as const satisfies Record<string, Setting>;

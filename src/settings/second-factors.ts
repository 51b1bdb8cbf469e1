import { z } from 'zod';
import { flag, list, origin, text, wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

/** Who must prove what besides a password, and how recently: codes by SMS (how they are sent: sms.ts), authenticator apps, passkeys. */
export const SECOND_FACTOR_SETTINGS = {
  STEP_UP_MAX_AGE_SECONDS: {
    describe: 'how recent the authentication of a sensitive request must be',
    schema: wholeNumber(1, 86_400),
    default: '600',
    strict: '300',
  },
  MFA_REQUIRED: { describe: 'true: everybody must hold a second factor', schema: flag, default: 'false', strict: 'true' },
  SMS_MFA: { describe: 'whether a phone can be a second factor', schema: flag, default: 'true', strict: 'false' },
  SMS_DEFAULT_COUNTRY: {
    describe: 'whose national phone numbers are understood, as DE (default: international numbers only)',
    schema: z.string().regex(/^[A-Z]{2}$/, 'give two capital letters (ISO 3166-1)'),
  },
  SMS_COUNTRIES: {
    describe: 'comma-separated countries whose numbers get codes, as DE,AT (default: all; fewer is less to defraud)',
    schema: list.pipe(z.array(z.string().regex(/^[A-Z]{2}$/, 'give two capital letters each (ISO 3166-1)'))),
    default: '',
  },
  TOTP_PAST_STEPS: {
    describe: '1: the code of the half minute before works too, for clocks that differ; 0: only the present one',
    schema: wholeNumber(0, 1),
    default: '1',
    strict: '0',
  },
  PASSKEY_COUNTER: {
    describe: 'a passkey that counts backwards: flag takes it for one factor, refuse refuses it',
    schema: z.enum(['flag', 'refuse']),
    default: 'flag',
    strict: 'refuse',
  },
  WEBAUTHN_RP_ID: { describe: 'the domain that passkeys belong to (default: the host of FRONTEND_URL)', schema: text.max(253) },
  WEBAUTHN_RP_NAME: { describe: 'how browsers call it (default: PRODUCT_NAME)', schema: text.max(60) },
  WEBAUTHN_ORIGINS: {
    describe: 'comma-separated origins whose pages may use passkeys (default: FRONTEND_URL and ISSUER)',
    schema: list.pipe(z.array(origin)),
    default: '',
  },
} as const satisfies Record<string, Setting>;

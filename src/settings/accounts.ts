import { z } from 'zod';
import { parseEmail } from '#domain/email.ts';
import { wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

/** How accounts begin and end. */
export const ACCOUNT_SETTINGS = {
  BOOTSTRAP_ADMIN_EMAIL: {
    describe: 'while nobody is an admin: makes the account of this address one at start, and mails a link to set its password',
    schema: z.string().refine((address) => parseEmail(address) !== undefined, 'give an e-mail address'),
  },
  REGISTRATION_CONFLICTS: {
    describe: 'hide, or reveal: 409 for an address that has an account',
    schema: z.enum(['hide', 'reveal']),
    default: 'hide',
  },
  ACCOUNT_DELETION_GRACE_DAYS: {
    describe:
      'how long a deleted account can be taken back before it is erased; 0: erased at once, or when no old address can take it back any more',
    schema: wholeNumber(0, 365),
    default: '30',
  },
  UNVERIFIED_ACCOUNT_DAYS: {
    describe:
      'how long after its registration an account whose address nobody verifies is removed, once no link to it is open; 0: such accounts stay',
    schema: wholeNumber(0, 365),
    default: '30',
  },
} as const satisfies Record<string, Setting>;

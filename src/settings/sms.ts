import { z } from 'zod';
import { wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

/** How SMS are sent, and what they may cost (who gets codes: second-factors.ts). */
export const SMS_SETTINGS = {
  SMS_PROVIDER: {
    describe: 'sns (docs/sms.md), or mailbox: SMS are kept in memory and shown at /dev/mailbox (development only)',
    schema: z.enum(['mailbox', 'sns']),
    default: 'mailbox',
  },
  SMS_SENDER_ID: {
    describe: 'who SMS come from, where the country shows it: 3 to 11 letters and digits (default: what AWS chooses)',
    schema: z.string().regex(/^(?=.*[A-Za-z])[A-Za-z0-9]{3,11}$/, 'give 3 to 11 letters and digits, at least one of them a letter'),
  },
  SMS_ORIGINATION_NUMBER: {
    describe: 'a number rented from AWS that SMS come from, as +12065550100, for countries without sender ids',
    schema: z.string().regex(/^\+?[1-9]\d{3,14}$/, 'give a number as +12065550100, or a short code'),
  },
  SMS_MAX_PRICE: {
    describe: 'US dollars that one SMS may cost; AWS sends none that costs more',
    schema: z
      .string()
      .regex(/^\d{1,2}(\.\d{1,5})?$/, 'give an amount as 0.25')
      .transform(Number)
      .refine((price) => price > 0, 'give an amount above 0'),
    default: '0.50',
  },
  SMS_MAX_PER_DAY: {
    describe:
      'codes sent by SMS on one day (UTC), at most half of them to numbers that are yet to be confirmed; no restart forgets the count',
    schema: wholeNumber(1, 10_000_000),
    default: '1000',
  },
} as const satisfies Record<string, Setting>;

import { z } from 'zod';
import { parseRateLimit, type RateLimit } from '#domain/rate-limit.ts';
import type { Setting } from './setting.ts';

const rate = z.string().transform((value, context): RateLimit => {
  const limit = parseRateLimit(value);
  if (limit) return limit;
  context.addIssue('give it as N/second, N/minute, N/hour or N/day');
  return z.NEVER;
});

export const RATE_LIMIT_SETTINGS = {
  RATE_LIMIT_GLOBAL: {
    describe: 'requests of everybody to /api/*, over all replicas: the last line when very many addresses flood',
    schema: rate,
    default: '5000/second',
  },
  RATE_LIMIT_PER_IP: { describe: 'requests of one network to /api/*', schema: rate, default: '50/minute' },
  RATE_LIMIT_PER_USER: { describe: 'changes of one account', schema: rate, default: '10/minute' },
  RATE_LIMIT_LOGIN: { describe: 'sign-ins of one network', schema: rate, default: '5/minute' },
  RATE_LIMIT_REGISTER: { describe: 'registrations of one network', schema: rate, default: '3/minute' },
  RATE_LIMIT_PASSWORD_RESET: {
    describe: 'reset links of one network, and mails to one address that strangers can ask for',
    schema: rate,
    default: '3/hour',
  },
  RATE_LIMIT_MFA: { describe: 'second factors tried from one network', schema: rate, default: '10/minute' },
  RATE_LIMIT_SMS_NUMBER: { describe: 'codes sent to one account, and at enrolment to one number', schema: rate, default: '5/hour' },
  RATE_LIMIT_SMS_PREFIX: {
    describe: 'codes sent to numbers that differ in the last digits only (bill fraud)',
    schema: rate,
    default: '50/hour',
  },
  RATE_LIMIT_SMS_TOTAL: { describe: 'codes sent in all (bill fraud)', schema: rate, default: '1000/day' },
  RATE_LIMIT_PREFIX: {
    describe: 'the key prefix in Redis',
    schema: z.string().regex(/^[A-Za-z0-9:_-]{1,64}$/, 'use letters, digits, : _ and -'),
    default: 'latchkey',
  },
} as const satisfies Record<string, Setting>;

import { z } from 'zod';
import { SESSION_BINDINGS } from '#domain/device.ts';
import { LONGEST_ACCESS_TOKEN_MINUTES } from '#domain/lifetimes.ts';
import { wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

/** How long tokens and sessions live, and how many of them. */
export const SESSION_SETTINGS = {
  ACCESS_TOKEN_EXPIRE_MINUTES: {
    describe: 'the life of an access token',
    schema: wholeNumber(1, LONGEST_ACCESS_TOKEN_MINUTES),
    default: '15',
    strict: '5',
  },
  REFRESH_TOKEN_EXPIRE_DAYS: {
    describe: 'a bearer session ends after this long without a refresh',
    schema: wholeNumber(1, 90),
    default: '7',
  },
  REFRESH_TOKEN_ABSOLUTE_DAYS: { describe: 'a bearer session ends this long after sign-in', schema: wholeNumber(1, 365), default: '30' },
  SESSION_IDLE_TIMEOUT_MINUTES: {
    describe: 'a cookie session ends after this long without use',
    schema: wholeNumber(1, 43_200),
    default: '60',
  },
  SESSION_ABSOLUTE_TIMEOUT_HOURS: {
    describe: 'a cookie session ends this long after sign-in',
    schema: wholeNumber(1, 8760),
    default: '24',
  },
  MAX_SESSIONS_PER_USER: {
    describe: 'sessions of one account at once; with one more the oldest ends (0: any number; 1: the last sign-in wins)',
    schema: wholeNumber(0, 1000),
    default: '0',
  },
  SESSION_BINDING: {
    describe: 'a session that turns up on another kind of device: off does nothing, log records it, revoke ends it',
    schema: z.enum(SESSION_BINDINGS),
    default: 'log',
    strict: 'revoke',
  },
  REFRESH_REUSE_GRACE_SECONDS: {
    describe: 'how long the replaced refresh token yields the same successor',
    schema: wholeNumber(0, 60),
    default: '10',
    strict: '0',
  },
} as const satisfies Record<string, Setting>;

import { flag, wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

/** What passwords must be, how they are hashed, and when wrong ones lock. */
export const PASSWORD_SETTINGS = {
  MIN_PASSWORD_LENGTH: { describe: 'in code points', schema: wholeNumber(8, 64), default: '8', strict: '15' },
  REQUIRE_UPPERCASE: { describe: 'composition rules are advised against by NIST SP 800-63B-4', schema: flag, default: 'false' },
  REQUIRE_NUMBERS: { describe: 'likewise', schema: flag, default: 'false' },
  REQUIRE_SPECIAL_CHARS: { describe: 'likewise', schema: flag, default: 'false' },
  MAX_LOGIN_ATTEMPTS: {
    describe: 'failures of one identifier from one network that lock it there',
    schema: wholeNumber(1, 100),
    default: '5',
  },
  LOCKOUT_DURATION_MINUTES: { describe: 'how long it stays locked', schema: wholeNumber(1, 1440), default: '30' },
  ARGON2_MEMORY_KIB: { describe: 'Argon2id memory', schema: wholeNumber(7168, 1048576), default: '19456' },
  ARGON2_TIME_COST: { describe: 'Argon2id passes', schema: wholeNumber(1, 20), default: '2' },
  ARGON2_PARALLELISM: { describe: 'Argon2id lanes', schema: wholeNumber(1, 16), default: '1' },
} as const satisfies Record<string, Setting>;

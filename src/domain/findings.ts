import type { FindingKind, Severity } from './finding-kind.ts';
import { DATABASE_FINDINGS } from './findings-database.ts';
import { KEY_FINDINGS } from './findings-keys.ts';
import { MAIL_FINDINGS } from './findings-mail.ts';
import { ORIGIN_FINDINGS } from './findings-origins.ts';
import { PROFILE_FINDINGS } from './findings-profile.ts';
import { PROXY_FINDINGS } from './findings-proxy.ts';
import { REDIS_FINDINGS } from './findings-redis.ts';
import { SETTING_FINDINGS } from './findings-settings.ts';

/**
 * What `latchkey doctor` can find, in the order of docs/doctor.md, each under an id that does not change. It stands in one table: of
 * two with one id the later would win, which TypeScript does not see between tables (a test does).
 */
export const FINDINGS = {
  ...SETTING_FINDINGS,
  ...PROXY_FINDINGS,
  ...ORIGIN_FINDINGS,
  ...KEY_FINDINGS,
  ...DATABASE_FINDINGS,
  ...REDIS_FINDINGS,
  ...MAIL_FINDINGS,
  ...PROFILE_FINDINGS,
  /** Of no subject: it stands for whatever a check would have found. */
  'check-failed': {
    severity: 'warning',
    why: 'What it would have looked at is not known.',
    todo: 'Look at what it says, and run it again.',
  },
} as const satisfies Record<string, FindingKind>;

export type FindingId = keyof typeof FINDINGS;

/** `what`: what is so, with its values and without a secret. `requirement`: of OWASP ASVS 5.0. */
export type Finding = { id: FindingId; severity: Severity; what: string; why: string; todo: string; requirement: string | null };

export function found(id: FindingId, what: string, more: { todo?: string; requirement?: string } = {}): Finding {
  const { severity, why, todo } = FINDINGS[id];
  return { id, severity, what, why, todo: more.todo ?? todo, requirement: more.requirement ?? null };
}

import type { FindingKind } from './finding-kind.ts';

export const MAIL_FINDINGS = {
  'mail-in-memory': {
    severity: 'note',
    why: 'For development: it is shown at /dev/mailbox and gone with the process.',
    todo: 'Set EMAIL_PROVIDER before people depend on it.',
  },
  'mail-down': {
    severity: 'error',
    why: 'Mail waits in the outbox: nobody can verify an address or reset a password.',
    todo: 'Look at its host, port and TLS settings, and whether this machine may connect out.',
  },
  'mail-refuses-us': {
    severity: 'error',
    why: 'It answers, but takes nothing from us.',
    todo: 'Correct the user and password, or the API key.',
  },
} as const satisfies Record<string, FindingKind>;

import type { FindingKind } from './finding-kind.ts';
import { PUBLISH_LEAD_SECONDS } from './key-rotation.ts';

/** Keys that sign, and the secrets that others encrypt. */
export const KEY_FINDINGS = {
  'keys-unusable': {
    severity: 'error',
    why: 'No token can be signed: the service does not start, and a running one keeps its old keys.',
    todo: 'Mend what it says; latchkey keys list shows what is there.',
  },
  'keys-folder-open': {
    severity: 'error',
    why: 'Whoever can write there replaces the keys, and signs tokens that every service takes.',
    todo: 'chmod 700, as the user of the service.',
  },
  'key-next-missing': {
    severity: 'warning',
    why: 'A key is published before it signs. Without one, a leak leaves no prepared way out.',
    todo: 'latchkey keys generate',
  },
  'key-old': {
    severity: 'warning',
    why: 'A signing key is used for a year at most (NIST SP 800-57 part 1, 5.3.6: one to three): the longer, the more a leak is worth.',
    todo: 'latchkey keys rotate',
  },
  'key-expired': {
    severity: 'note',
    why: 'The last token that it signed has expired: nobody needs it.',
    todo: 'latchkey keys retire KID',
  },
  'key-algorithm': {
    severity: 'warning',
    why: 'The setting counts for keys that are made from now on; those that are there keep theirs.',
    todo: `latchkey keys generate, ${PUBLISH_LEAD_SECONDS / 60} minutes later latchkey keys rotate.`,
  },
  'secret-file-open': {
    severity: 'error',
    why: 'Other users of this machine can read it, or it was cut short: the service refuses it.',
    todo: 'chmod 600, as the user of the service; bring one that was cut short back from a backup.',
  },
  'secrets-under-old-keys': {
    severity: 'warning',
    why: 'They open as long as the old keys stay in FERNET_KEY: a rotation that stopped halfway.',
    todo: 'latchkey secrets reencrypt',
  },
  'secrets-lost': {
    severity: 'error',
    why: 'Their owners cannot use their authenticator app.',
    todo: 'Put the key back that encrypted them, behind the first one in FERNET_KEY.',
  },
  'fernet-keys-can-go': {
    severity: 'note',
    why: 'Every stored secret is under the first key: the others only add to what can leak.',
    todo: 'Take them out of FERNET_KEY and restart.',
  },
} as const satisfies Record<string, FindingKind>;

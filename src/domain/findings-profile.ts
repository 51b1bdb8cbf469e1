import type { FindingKind } from './finding-kind.ts';

/** Where SECURITY_PROFILE=strict, or OWASP ASVS 5.0, asks for more. */
export const PROFILE_FINDINGS = {
  'strict-deviation': {
    severity: 'note',
    why: 'What SECURITY_PROFILE=strict would ask.',
    todo: 'Set it, or SECURITY_PROFILE=strict.',
  },
  'strict-weakened': {
    severity: 'warning',
    why: 'SECURITY_PROFILE=strict is set, and this takes a part of it back.',
    todo: 'Take the setting out: strict is then the default.',
  },
  'version-deviation': {
    severity: 'note',
    why: 'This version deviates whatever the settings are.',
    todo: 'docs/asvs.md has all requirements.',
  },
} as const satisfies Record<string, FindingKind>;

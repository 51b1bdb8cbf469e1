import type { FindingKind } from './finding-kind.ts';

/** Settings that are refused, contradict each other or have no effect. */
export const SETTING_FINDINGS = {
  'setting-refused': {
    severity: 'error',
    why: 'The service does not start with it.',
    todo: 'Correct the setting; .env.example says what each one takes.',
  },
  'settings-unused': {
    severity: 'warning',
    why: 'Somebody set it to have an effect, and it has none.',
    todo: 'Set what makes it count, or take it out.',
  },
  'lifetimes-contradict': {
    severity: 'warning',
    why: 'The shorter limit always comes first: the longer one never happens.',
    todo: 'Make the longer one shorter, or the shorter one longer.',
  },
  'host-not-allowed': {
    severity: 'error',
    why: 'Every request that comes by the public name is answered with 421.',
    todo: 'Add the host of ISSUER to ALLOWED_HOSTS.',
  },
  'metrics-port-taken': {
    severity: 'error',
    why: 'Both want to listen at the same place: the service does not start.',
    todo: 'Give METRICS_PORT another port than PORT.',
  },
  'smtp-port-and-tls': {
    severity: 'warning',
    why: 'The mail server and we wait for different first words: the connection hangs until it times out.',
    todo: 'Port 465 goes with SMTP_TLS=implicit, port 587 with SMTP_TLS=on.',
  },
  'sms-country-shut': {
    severity: 'warning',
    why: 'National numbers are understood and then refused.',
    todo: 'Add SMS_DEFAULT_COUNTRY to SMS_COUNTRIES.',
  },
  'secret-guessable': {
    severity: 'error',
    why: 'Who guesses SECRET_KEY can make refresh tokens and forge the audit chain.',
    todo: 'Make another: openssl rand -base64 48. Everybody signs in again.',
  },
  'mailbox-exposed': {
    severity: 'error',
    why: 'Mail with live links is shown to everybody at /dev/mailbox: whoever asks for a reset owns the account.',
    todo: 'Set NODE_ENV=production and a real EMAIL_PROVIDER.',
  },
} as const satisfies Record<string, FindingKind>;

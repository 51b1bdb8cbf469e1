import type { FindingKind } from './finding-kind.ts';

/** The database, and what it tells of the rest: migrations, the audit trail, admins, clocks and the outbox. */
export const DATABASE_FINDINGS = {
  'database-down': {
    severity: 'error',
    why: 'Nothing works without it but the published keys.',
    todo: 'Start it, or correct DATABASE_URL.',
  },
  'database-embedded': {
    severity: 'note',
    why: 'For development: production needs a PostgreSQL server.',
    todo: 'Set DATABASE_URL before others depend on it.',
  },
  'database-version': {
    severity: 'error',
    why: 'Latchkey is tested on PostgreSQL 14 to 18.',
    todo: 'Move to one of those.',
  },
  'database-read-only': {
    severity: 'error',
    why: 'Nothing can be written: nobody signs in.',
    todo: 'Let DATABASE_URL lead to the primary.',
  },
  'database-encoding': {
    severity: 'error',
    why: 'Names and addresses with other letters are refused or mangled.',
    todo: 'Make the database anew with encoding UTF8.',
  },
  'database-in-clear': {
    severity: 'warning',
    why: 'Whoever listens between here and the database reads and changes what goes by (ASVS 12.3.1).',
    todo: 'Add ?sslmode=verify-full to DATABASE_URL; NODE_EXTRA_CA_CERTS names a CA of your own.',
  },
  'database-superuser': {
    severity: 'warning',
    why: 'Whoever takes the service over has the whole server (ASVS 13.2.2).',
    todo: 'Make a role for it: latchkey migrate --grant-to ROLE.',
  },
  'database-few-connections': {
    severity: 'warning',
    why: 'One replica alone can take more connections than the server gives: requests are answered with 503 under load.',
    todo: 'Lower DATABASE_POOL_SIZE, raise max_connections, or put PgBouncer between.',
  },
  'migrations-pending': {
    severity: 'warning',
    why: 'This version expects them; the next start applies them.',
    todo: 'latchkey migrate',
  },
  'migrations-unknown': {
    severity: 'warning',
    why: 'A newer version was here. It stays compatible with the one before it, no further.',
    todo: 'Run the version that made them.',
  },
  'migration-changed': {
    severity: 'error',
    why: 'The schema is not what this version thinks; the service does not start.',
    todo: 'Use the release as it was published.',
  },
  'audit-changeable': {
    severity: 'warning',
    why: 'The owner of the tables can take away what guards the audit trail (ASVS 16.4.2).',
    todo: 'Let the service use another role: latchkey migrate --grant-to ROLE, see docs/runbooks/audit.md.',
  },
  'audit-months-missing': {
    severity: 'warning',
    why: 'Events of these months go to the default partition. The worker makes months ahead: none does.',
    todo: 'latchkey migrate, and see that a process with ROLE=all or worker runs.',
  },
  'audit-default-used': {
    severity: 'warning',
    why: 'They belong to no month: they are neither archived nor dropped.',
    todo: 'latchkey migrate moves those of this month and the next ones; look why clocks or months are off.',
  },
  'audit-unsealed': {
    severity: 'warning',
    why: 'Events are sealed within seconds: no worker runs, and mail waits too.',
    todo: 'Start a process with ROLE=all or worker, and look at its log.',
  },
  'audit-archive-unset': {
    severity: 'warning',
    why: 'Months that are due stay in the database, which grows for ever.',
    todo: 'Set AUDIT_ARCHIVE_URL.',
  },
  'audit-archive-late': {
    severity: 'warning',
    why: 'The worker archives what is due within an hour: it cannot, or it does not run.',
    todo: 'latchkey audit archive says what is in the way.',
  },
  'nobody-administers': {
    severity: 'note',
    why: 'Nobody can lock, unlock or look up an account over HTTP.',
    todo: 'Set BOOTSTRAP_ADMIN_EMAIL, or: latchkey users create --role admin --verified --email E.',
  },
  'clocks-differ': {
    severity: 'warning',
    why: 'Limits, codes and expiries are judged by either clock; more than 30 seconds refuse good authenticator codes.',
    todo: 'Let both keep time by NTP.',
  },
  'clocks-apart': {
    severity: 'error',
    why: 'Codes of authenticator apps are refused, and other services refuse tokens as not yet or no longer valid.',
    todo: 'Let both keep time by NTP.',
  },
  'outbox-waits': {
    severity: 'warning',
    why: 'People wait for links and codes: no worker runs, or the provider takes nothing.',
    todo: 'latchkey outbox list --state waiting shows what the provider says.',
  },
  'outbox-dead': {
    severity: 'warning',
    why: 'They were given up: whoever asked for them did not get them.',
    todo: 'latchkey outbox list --state dead, then latchkey outbox replay --all while their links live.',
  },
} as const satisfies Record<string, FindingKind>;

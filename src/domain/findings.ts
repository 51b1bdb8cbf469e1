import { PUBLISH_LEAD_SECONDS } from './key-rotation.ts';

/**
 * What `latchkey doctor` can find, each under an id that does not change. An error does not work or is not safe; a warning will become
 * one, or is weaker than it could be; a note is good to know. `todo` stands unless a finding has something better to say.
 */
export type Severity = 'error' | 'warning' | 'note';
type Kind = { severity: Severity; why: string; todo: string };

export const FINDINGS = {
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

  'proxy-unnamed': {
    severity: 'error',
    why: 'Latchkey speaks HTTP, so something in front of it ends TLS. Unnamed, it is the client of every request: all users share one rate limit, a lock hits all of them, and the audit trail knows one address.',
    todo: 'Set TRUST_PROXY to the address or CIDR from which it connects, and make it send X-Forwarded-For.',
  },
  'proxy-trusts-everybody': {
    severity: 'error',
    why: 'Anybody can claim any address in X-Forwarded-For: limits, blocks and the audit trail are theirs to write.',
    todo: 'Name the proxy alone in TRUST_PROXY.',
  },
  'proxy-out-of-reach': {
    severity: 'error',
    why: 'Only this machine can connect, and its address is not trusted: what the proxy says of the client is ignored.',
    todo: 'Set TRUST_PROXY=127.0.0.1, or let HOST listen where the proxy is.',
  },
  'proxy-passed-by': {
    severity: 'warning',
    why: 'The proxy is on this machine, but others can connect past it, without TLS and without what it checks.',
    todo: 'Set HOST=127.0.0.1.',
  },
  'proxy-seen': {
    severity: 'error',
    why: 'So many people do not share an address of the house: it is a proxy that TRUST_PROXY does not name. They share its limits, and a lock or block hits all of them.',
    todo: 'Add it to TRUST_PROXY.',
  },
  'proxy-silent': {
    severity: 'error',
    why: 'The proxy is trusted, but does not say for whom it asks: its users share its limits.',
    todo: 'Make it send X-Forwarded-For: nginx "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for", HAProxy "option forwardfor".',
  },

  'origin-plain-http': {
    severity: 'error',
    why: 'Passwords and tokens go in clear; browsers keep no Secure cookie there and refuse passkeys.',
    todo: 'Give it with https://.',
  },
  'issuer-local': {
    severity: 'warning',
    why: 'In production: no other machine finds it, and tokens name it for good.',
    todo: 'Set ISSUER to the public name, with https://.',
  },
  'cookies-need-https': {
    severity: 'warning',
    why: 'Browsers keep the __Host-session cookie of https:// and of localhost only: cookie sessions end before they begin.',
    todo: 'Use http://localhost, or https://.',
  },
  'cookies-cross-site': {
    severity: 'warning',
    why: 'Cookies are SameSite=Strict: browsers do not send them from pages of another site, so cookie sessions do not work there (bearer tokens do).',
    todo: 'Serve both under one domain and scheme, as https://app.example.com and https://auth.example.com.',
  },
  'frontend-not-allowed': {
    severity: 'warning',
    why: 'Browsers let its pages call this service only when CORS allows it.',
    todo: 'Add FRONTEND_URL to CORS_ORIGINS, unless it passes /api on to this service itself.',
  },
  'passkeys-elsewhere': {
    severity: 'warning',
    why: 'Browsers use passkeys of a domain on its own pages and below: nobody can enrol or use one there.',
    todo: 'Set WEBAUTHN_RP_ID to a domain that is the end of both names.',
  },
  'passkeys-no-domain': {
    severity: 'error',
    why: 'Browsers refuse passkeys for an IP address, and for a name under which strangers register theirs.',
    todo: 'Set WEBAUTHN_RP_ID, or FRONTEND_URL, to a domain of yours.',
  },

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

  'limits-in-process': {
    severity: 'note',
    why: 'Limits are counted in each process: two replicas let twice as much through.',
    todo: 'Set REDIS_URL before there are replicas.',
  },
  'redis-down': {
    severity: 'error',
    why: 'Signing in is answered with 503; the rest counts its limits in each process.',
    todo: 'Start it, or correct REDIS_URL.',
  },
  'redis-version': {
    severity: 'error',
    why: 'The limiter needs Redis 6.2, or Valkey.',
    todo: 'Move to one of those.',
  },
  'redis-evicts': {
    severity: 'warning',
    why: 'When memory is short Redis forgets counts that were made: limits let through what they should refuse.',
    todo: 'Set maxmemory-policy noeviction; the counters expire by themselves.',
  },
  'redis-full': {
    severity: 'warning',
    why: 'When it is full it refuses to count, and signing in is answered with 503.',
    todo: 'Raise maxmemory, or give the limits a Redis of their own.',
  },
  'redis-replica': {
    severity: 'error',
    why: 'A replica counts nothing: signing in is answered with 503.',
    todo: 'Let REDIS_URL lead to the primary.',
  },
  'redis-is-cluster': {
    severity: 'error',
    why: 'Most counters live on other nodes: they are refused with MOVED.',
    todo: 'Set REDIS_CLUSTER=true.',
  },
  'redis-no-cluster': {
    severity: 'error',
    why: 'A client of a cluster cannot find its nodes.',
    todo: 'Set REDIS_CLUSTER=false.',
  },
  'redis-cluster-broken': {
    severity: 'error',
    why: 'Some counters have no node: signing in is answered with 503 for those whose they are.',
    todo: 'redis-cli --cluster check says what is missing.',
  },
  'redis-in-clear': {
    severity: 'warning',
    why: 'Whoever listens between here and Redis reads its password and resets limits (ASVS 12.3.1).',
    todo: 'Give REDIS_URL with rediss://; REDIS_CA_FILE names a CA of your own.',
  },
  'redis-no-password': {
    severity: 'warning',
    why: 'Whoever reaches it can reset every limit.',
    todo: 'Set requirepass, and the password in REDIS_URL.',
  },

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
  'check-failed': {
    severity: 'warning',
    why: 'What it would have looked at is not known.',
    todo: 'Look at what it says, and run it again.',
  },
} as const satisfies Record<string, Kind>;

export type FindingId = keyof typeof FINDINGS;

/** `what`: what is so, with its values and without a secret. `requirement`: of OWASP ASVS 5.0. */
export type Finding = { id: FindingId; severity: Severity; what: string; why: string; todo: string; requirement: string | null };

export function found(id: FindingId, what: string, more: { todo?: string; requirement?: string } = {}): Finding {
  const { severity, why, todo } = FINDINGS[id];
  return { id, severity, what, why, todo: more.todo ?? todo, requirement: more.requirement ?? null };
}

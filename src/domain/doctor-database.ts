import { hasEndedFor } from './audit-line.ts';
import { type Finding, found } from './findings.ts';

export type DatabaseFacts = {
  /** As PostgreSQL numbers itself: 180001 is 18.1. */
  version: number;
  encoding: string;
  isReadOnly: boolean;
  isEncrypted: boolean;
  isSuperuser: boolean;
  /** What the server leaves to roles that are no superusers. */
  connections: number;
  /** By how much its clock is ahead of ours, at least; negative: behind. */
  aheadSeconds: number;
  /** Whether any migration was ever applied. */
  hasSchema: boolean;
  pending: string[];
  unknown: string[];
  changed: string[];
};

export type AuditFacts = {
  mayChange: boolean;
  /** Months with a partition. */
  months: string[];
  usesDefault: boolean;
  /** Of the oldest event that no seal covers and that could be sealed. */
  unsealedSince: Date | null;
};

export type OutboxFacts = { waiting: number; oldestSeconds: number; dead: number; replayable: number };

const OLDEST = 14;
const NEWEST = 18;
/** Of a wandering clock, and of a step of TOTP (RFC 6238 5.2). */
const DRIFT_SECONDS = 2;
const APART_SECONDS = 30;
const SEALED_WITHIN_MS = 5 * 60_000;
const SENT_WITHIN_SECONDS = 15 * 60;
/** The worker makes three months ahead, and looks once an hour. */
const MONTHS_AHEAD = 2;
const ARCHIVED_WITHIN_DAYS = 2;

type Where = { isEmbedded: boolean; isLocal: boolean; isProduction: boolean; poolSize: number };

export function judgeDatabase(facts: DatabaseFacts, { isEmbedded, isLocal, isProduction, poolSize }: Where): Finding[] {
  const { version, connections, aheadSeconds, pending, unknown, changed } = facts;
  const major = Math.floor(version / 10_000);
  const findings: Finding[] = [];
  if (major < OLDEST || major > NEWEST) findings.push(found('database-version', `It is PostgreSQL ${major}.`));
  if (facts.encoding !== 'UTF8') findings.push(found('database-encoding', `Its encoding is ${facts.encoding}.`));
  if (facts.isReadOnly) findings.push(found('database-read-only', 'It takes no writes: a standby, or set to read only.'));
  if (changed.length > 0) findings.push(found('migration-changed', `Changed since they were applied: ${changed.join(', ')}.`));
  if (pending.length > 0) findings.push(found('migrations-pending', `Not applied: ${pending.join(', ')}.`));
  if (unknown.length > 0) findings.push(found('migrations-unknown', `Applied, and unknown to this version: ${unknown.join(', ')}.`));
  if (!isEmbedded && poolSize > connections)
    findings.push(found('database-few-connections', `DATABASE_POOL_SIZE is ${poolSize}, and the server has ${connections} to give.`));
  if (isProduction && !isLocal && !facts.isEncrypted)
    findings.push(found('database-in-clear', 'The connection to it has no TLS.', { requirement: 'V12.3.1' }));
  if (isProduction && facts.isSuperuser)
    findings.push(found('database-superuser', 'The service is a superuser there.', { requirement: 'V13.2.2' }));
  const apart = Math.abs(aheadSeconds);
  if (apart > DRIFT_SECONDS) {
    const what = `The clock of the database is ${Math.round(apart)} seconds ${aheadSeconds > 0 ? 'ahead of' : 'behind'} this machine's.`;
    findings.push(found(apart > APART_SECONDS ? 'clocks-apart' : 'clocks-differ', what));
  }
  return findings;
}

type Keeping = { retentionDays: number; archive: string | null; isProduction: boolean };

export function judgeAudit(facts: AuditFacts, { retentionDays, archive, isProduction }: Keeping, now: Date): Finding[] {
  const findings: Finding[] = [];
  if (facts.mayChange && isProduction) {
    const what = "The service's role owns the audit trail, or may update it.";
    findings.push(found('audit-changeable', what, { requirement: 'V16.4.2' }));
  }
  const missing = monthsFrom(now).filter((month) => !facts.months.includes(month));
  if (missing.length > 0) findings.push(found('audit-months-missing', `There is no partition for ${missing.join(', ')}.`));
  if (facts.usesDefault) findings.push(found('audit-default-used', 'The default partition holds events.'));
  if (facts.unsealedSince !== null && now.getTime() - facts.unsealedSince.getTime() > SEALED_WITHIN_MS)
    findings.push(found('audit-unsealed', `Events wait for their seal since ${facts.unsealedSince.toISOString()}.`));
  const due = (days: number) => facts.months.filter((month) => hasEndedFor(month, retentionDays + days, now));
  if (archive === null && due(0).length > 0)
    findings.push(
      found('audit-archive-unset', `${due(0).join(', ')} ended more than ${retentionDays} days ago, and AUDIT_ARCHIVE_URL is not set.`),
    );
  if (archive !== null && due(ARCHIVED_WITHIN_DAYS).length > 0)
    findings.push(found('audit-archive-late', `${due(ARCHIVED_WITHIN_DAYS).join(', ')} should be at ${archive} by now.`));
  return findings;
}

export function judgeOutbox({ waiting, oldestSeconds, dead, replayable }: OutboxFacts): Finding[] {
  const findings: Finding[] = [];
  if (oldestSeconds > SENT_WITHIN_SECONDS)
    findings.push(found('outbox-waits', `${waiting} messages wait, the oldest for ${Math.round(oldestSeconds / 60)} minutes.`));
  if (dead > 0) findings.push(found('outbox-dead', `${dead} dead letters, ${replayable} of which can still be sent.`));
  return findings;
}

function monthsFrom(now: Date): string[] {
  return Array.from({ length: MONTHS_AHEAD + 1 }, (_, ahead) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1)).toISOString().slice(0, 7),
  );
}

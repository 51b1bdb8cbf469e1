import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ArchiveRefused, archiveAudit } from '#application/archive-audit.ts';
import { auditChain } from '#application/audit-chain.ts';
import { type Job, maintenance } from '#application/maintenance.ts';
import type { AuditRow } from '#application/ports/audit-trail.ts';
import type { Metrics } from '#application/ports/metrics.ts';
import type { Clock } from '#application/ports/services.ts';
import { sealAudit } from '#application/seal-audit.ts';
import { hasEndedFor } from '#domain/audit-line.ts';
import { openArchive } from '#infrastructure/archive/open-archive.ts';
import { postgresAuditTrail } from '#infrastructure/postgres/audit-trail.ts';
import type { Database } from '#infrastructure/postgres/database.ts';
import { postgresHousekeeping } from '#infrastructure/postgres/housekeeping.ts';
import { postgresLeases } from '#infrastructure/postgres/leases.ts';
import { startSchedule } from '#infrastructure/schedule/schedule.ts';
import { auditLines } from '#infrastructure/stdout/audit-lines.ts';
import type { Config } from './config.ts';
import { versionOfPackage } from './version.ts';

type Surroundings = {
  database: Database;
  auditKey: Buffer;
  /** All that are due, until the signal. `tell` hears of those that failed. */
  eraseAccounts(signal: AbortSignal, tell: (accountId: string, error: unknown) => void): Promise<void>;
  /** Hears of every event that is sealed. */
  metrics: Metrics | null;
  clock: Clock;
  log: Logger;
};

const SEAL_SECONDS = 2;
const ARCHIVE_SECONDS = 3600;
const ERASURE_SECONDS = 3600;
const DROP_PAUSE_MS = 500;

/** The worker's half besides mail: what one replica does at a time, on a schedule. */
export function startWorker(
  config: Config,
  { database, auditKey, eraseAccounts, metrics, clock, log }: Surroundings,
): { stop(): Promise<void> } {
  const trail = postgresAuditTrail(database);
  const chain = auditChain([auditKey]);
  const print = config.AUDIT_STDOUT ? auditLines(process.stdout) : null;
  const publish = async (rows: readonly AuditRow[]) => print?.(rows);
  const seal = sealAudit({ trail, chain, clock, publish, count: (rows) => metrics?.count(rows) });

  const archiveOld = async (signal: AbortSignal) => {
    const months = (await trail.months()).filter((month) => hasEndedFor(month, config.AUDIT_RETENTION_DAYS, clock.now()));
    const url = config.AUDIT_ARCHIVE_URL;
    if (url === undefined) {
      if (months.length > 0) log.warn({ months }, 'months of the audit trail are due and stay: AUDIT_ARCHIVE_URL is not set');
      return;
    }
    if (months.length === 0) return;
    const store = await openArchive(url, { region: config.AWS_REGION, endpoint: config.AWS_ENDPOINT_URL });
    const madeBy = `latchkey ${versionOfPackage()}`;
    const pause = () => delay(DROP_PAUSE_MS, undefined, { signal });
    const archives = archiveAudit({ trail, store, chain, clock, madeBy, seal, pause, onProgress: () => signal.throwIfAborted() });
    await archives.tidy();
    for (const month of months) {
      try {
        log.info(await archives.archive(month), 'a month of the audit trail was archived');
      } catch (error) {
        if (!(error instanceof ArchiveRefused)) throw error;
        log.error({ month, broken: error.broken }, error.message); // the others do not wait for it
      }
    }
  };

  const jobs: Job[] = [
    ...maintenance({ housekeeping: postgresHousekeeping(database), clock }),
    {
      name: 'audit-seal',
      everySeconds: SEAL_SECONDS,
      async run(signal) {
        while ((await seal()).more && !signal.aborted);
      },
    },
    {
      name: 'erase-accounts',
      everySeconds: ERASURE_SECONDS,
      isShared: true,
      run: (signal) =>
        eraseAccounts(signal, (accountId, error) =>
          log.error({ err: error, accountId }, 'an account cannot be erased; the others are, and it is tried again'),
        ),
    },
    { name: 'audit-archive', everySeconds: ARCHIVE_SECONDS, run: archiveOld },
  ];
  return startSchedule(jobs, postgresLeases(database), (job, error) =>
    log.warn({ err: error, job }, 'maintenance failed; it is tried again'),
  );
}

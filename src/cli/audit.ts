import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ArchiveRefused, archiveAudit } from '#application/archive-audit.ts';
import { type AuditChain, auditChain } from '#application/audit-chain.ts';
import type { ArchiveStore } from '#application/ports/audit-trail.ts';
import type { Broken } from '#application/prove-rows.ts';
import { restoreAudit } from '#application/restore-audit.ts';
import { sealAudit } from '#application/seal-audit.ts';
import { verifyArchive } from '#application/verify-archive.ts';
import { type Head, verifyTrail } from '#application/verify-trail.ts';
import { openArchive } from '#infrastructure/archive/open-archive.ts';
import { deriveKeys } from '#infrastructure/crypto/derive-keys.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';
import { postgresAuditTrail } from '#infrastructure/postgres/audit-trail.ts';
import { restoredTable } from '#infrastructure/postgres/restored-audit.ts';
import { ecsLine } from '#infrastructure/stdout/audit-lines.ts';
import { type Config, loadConfig } from '../config.ts';
import { versionOfPackage } from '../version.ts';
import { type Command, type Output, UsageMistake } from './command.ts';
import { counting } from './progress.ts';
import { withDatabase } from './with-database.ts';

const TAIL_BATCH = 1000;
const TAIL_PAUSE_MS = 1000;
const DROP_PAUSE_MS = 500;

/** The audit trail for auditors: prove it, archive it, read an archive again, follow it. */
export const audit: Command = {
  summary: 'prove, archive, restore and follow the audit trail',
  help: `Usage: latchkey audit verify [--head NUMBER:MAC] [--json]
       latchkey audit verify --archive all|MONTH [--from URL] [--json]
       latchkey audit archive [--older-than DAYS] [--json]
       latchkey audit restore MONTH [--from URL] [--json]
       latchkey audit tail [--lines N] [--follow] [--ecs]

verify   proves the live table, or with --archive archived months, without a database; ends with 1 when something is broken and
         names the first event that is. --head: a head that an earlier verify printed must still be there
archive  moves the months that ended DAYS ago (default: AUDIT_RETENTION_DAYS) to AUDIT_ARCHIVE_URL, as the worker does by itself
restore  loads an archived month into a table of its own, audit_restored_2026_03; drop it when you are done
tail     prints the newest events, as they are sealed or with --ecs for a collector; --follow goes on with what comes

--from URL       an archive elsewhere: file:///folder or s3://bucket/prefix
--key-file FILE  an earlier SECRET_KEY, when it was changed since; can be given again

Examples:
  latchkey audit verify
  latchkey audit verify --archive 2026-03 --from file:///mnt/archive
  latchkey audit restore 2026-03 && psql -c 'select type, count(*) from audit_restored_2026_03 group by 1'`,

  async run(args, out) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        archive: { type: 'string' },
        ecs: { type: 'boolean' },
        follow: { type: 'boolean' },
        from: { type: 'string' },
        head: { type: 'string' },
        json: { type: 'boolean' },
        'key-file': { type: 'string', multiple: true },
        lines: { type: 'string' },
        'older-than': { type: 'string' },
      },
    });
    const [verb, month, ...rest] = positionals;
    if (rest.length > 0 || (month !== undefined && verb !== 'restore'))
      throw new UsageMistake(`audit ${verb} does not take so many words.`);
    const config = loadConfig({ ...process.env, NODE_ENV: undefined }); // what production asks of a service is not asked here
    const chain = chainOf(config, values['key-file'] ?? []);
    const say = (result: object, line: string) => out.print(values.json ? JSON.stringify(result) : line);
    if (verb === 'verify' && values.archive === undefined) return verifyLive(config, chain, headIn(values.head), out, say);
    if (verb === 'verify') return verifyArchives(await archiveOf(config, values.from), chain, values.archive ?? 'all', say);
    if (verb === 'archive') return archive(config, chain, daysIn(values['older-than'], config), out, say);
    if (verb === 'restore') return restore(config, chain, await archiveOf(config, values.from), monthIn(month), out, say);
    if (verb === 'tail') return tail(config, wholeNumber(values.lines ?? '20', '--lines'), values, out);
    throw new UsageMistake(verb === undefined ? 'Say what to do with the audit trail.' : `audit cannot "${verb}".`);
  },
};

type Say = (result: object, line: string) => void;

async function verifyLive(config: Config, chain: AuditChain, head: Head | null, out: Output, say: Say): Promise<number> {
  const verdict = await withDatabase(config, out.complain, (database) =>
    counting('events proved', (onProgress) => verifyTrail({ trail: postgresAuditTrail(database), chain, onProgress })(head)),
  );
  const ending = verdict.head ? `; head ${verdict.head.number}:${verdict.head.mac}` : '';
  const good = `The audit trail is unbroken: ${verdict.sealed} events under ${verdict.seals} seals, ${verdict.waiting} wait for one${ending}`;
  say(verdict, verdict.broken ? `BROKEN: ${inWords(verdict.broken)}` : good);
  return verdict.broken ? 1 : 0;
}

async function verifyArchives(store: ArchiveStore, chain: AuditChain, which: string, say: Say): Promise<number> {
  const months = which === 'all' ? await monthsIn(store) : [monthIn(which)];
  if (months.length === 0) throw new Error(`There is no archive at ${store.location}.`);
  let isBroken = false;
  for (const month of months) {
    const { broken, manifest } = await counting(`events of ${month} proved`, (onProgress) =>
      verifyArchive({ store, chain, onProgress })(month),
    );
    isBroken ||= broken !== null;
    const good = `${month} is unbroken: ${manifest?.events.count} events`;
    say({ month, broken, events: manifest?.events.count ?? null }, broken ? `BROKEN: ${month}: ${inWords(broken)}` : good);
  }
  return isBroken ? 1 : 0;
}

async function archive(config: Config, chain: AuditChain, days: number, out: Output, say: Say): Promise<number> {
  const store = await archiveOf(config, undefined);
  return await withDatabase(config, out.complain, async (database) => {
    const trail = postgresAuditTrail(database);
    const clock = { now: () => new Date() };
    const seal = sealAudit({ trail, chain, clock });
    const pause = () => delay(DROP_PAUSE_MS);
    const needs = { trail, store, chain, clock, madeBy: `latchkey ${versionOfPackage()}`, seal, pause };
    const archives = archiveAudit(needs);
    const months = await archives.due(days);
    if (months.length === 0) out.complain(`No month ended more than ${days} days ago.`);
    let isDone = true;
    for (const month of months) {
      try {
        const done = await counting(`events of ${month} written`, (tell) =>
          archiveAudit({ ...needs, onProgress: (_, events) => tell(events) }).archive(month),
        );
        isDone &&= done.state === 'archived';
        const where = done.state === 'archived' ? 'and gone from the database' : 'and still in the database, which is busy: try again';
        say(done, `${month}: ${done.events} events are at ${store.location} ${where}`);
      } catch (error) {
        if (!(error instanceof ArchiveRefused)) throw error;
        isDone = false;
        out.complain(`${error.message}${error.broken ? `: ${inWords(error.broken)}` : ''}`);
      }
    }
    await archives.tidy();
    return isDone ? 0 : 1;
  });
}

async function restore(config: Config, chain: AuditChain, store: ArchiveStore, month: string, out: Output, say: Say): Promise<number> {
  const result = await withDatabase(config, out.complain, (database) =>
    counting('events loaded', (onProgress) => restoreAudit({ store, chain, restored: restoredTable(database), onProgress })(month)),
  );
  if ('table' in result) {
    say(result, `${result.events} events of ${month} are in ${result.table}, proved and read back; drop it when you are done`);
    return 0;
  }
  if ('exists' in result) throw new Error(`There is a table audit_restored_${month.replace('-', '_')} already: drop it first.`);
  say(result, `BROKEN: ${inWords(result.broken)}`);
  return 1;
}

async function tail(config: Config, count: number, { follow, ecs }: { follow?: boolean; ecs?: boolean }, out: Output): Promise<number> {
  return await withDatabase(config, out.complain, async (database) => {
    const trail = postgresAuditTrail(database);
    const print = (line: string) => out.print(ecs ? ecsLine(line) : line);
    let rows = await trail.newest(count);
    for (let last = null as (typeof rows)[number] | null; ; ) {
      for (const { line } of rows) print(line);
      last = rows.at(-1) ?? last;
      if (!follow) return 0;
      if (rows.length === 0) await delay(TAIL_PAUSE_MS);
      rows = await trail.settled(last, TAIL_BATCH);
    }
  });
}

function chainOf(config: Config, keyFiles: readonly string[]): AuditChain {
  const present = config.SECRET_KEY ? Buffer.from(config.SECRET_KEY.reveal()) : generatedSecret(config.DATA_DIR, 'secret-key');
  const earlier = keyFiles.map((file) => Buffer.from(readFileSync(file, 'utf8').replace(/\r?\n$/, '')));
  return auditChain([present, ...earlier].map((secret) => deriveKeys(secret).audit));
}

async function archiveOf(config: Config, from: string | undefined): Promise<ArchiveStore> {
  const url = from ?? config.AUDIT_ARCHIVE_URL;
  if (url === undefined) throw new UsageMistake('Say where the archive is: set AUDIT_ARCHIVE_URL, or give --from URL.');
  if (!URL.canParse(url) || !['file:', 's3:'].includes(new URL(url).protocol)) throw new UsageMistake('--from is a file:// or s3:// URL.');
  return await openArchive(url, { region: config.AWS_REGION, endpoint: config.AWS_ENDPOINT_URL });
}

async function monthsIn(store: ArchiveStore): Promise<string[]> {
  return (await store.list()).flatMap((name) => /^audit-(\d{4}-\d{2})\.manifest\.json$/.exec(name)?.[1] ?? []);
}

function monthIn(text: string | undefined): string {
  if (text === undefined || !/^\d{4}-(0[1-9]|1[0-2])$/.test(text)) throw new UsageMistake('Name a month as 2026-03.');
  return text;
}

function headIn(text: string | undefined): Head | null {
  if (text === undefined) return null;
  const [, number, mac] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (number === undefined || mac === undefined) throw new UsageMistake('--head is NUMBER:MAC, as verify prints it.');
  return { number: Number(number), mac };
}

function daysIn(text: string | undefined, config: Config): number {
  if (text === undefined) return config.AUDIT_RETENTION_DAYS;
  const days = wholeNumber(text, '--older-than');
  if (days < 30) throw new UsageMistake('--older-than is 30 or more: younger months are not dropped.');
  return days;
}

function wholeNumber(text: string, name: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new UsageMistake(`${name} is a whole number.`);
  return Number(text);
}

function inWords(broken: Broken): string {
  if ('id' in broken) return `the event ${broken.id} of ${broken.month} was ${broken.what}`;
  if ('why' in broken) return `${broken.what} (${broken.month}): ${broken.why}`;
  return `${broken.what}: seal ${broken.seal} of ${broken.month}`;
}

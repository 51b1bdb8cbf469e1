import { randomUUIDv7 } from 'node:crypto';
import { accessSync, constants, statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { AUDIT_EVENTS, type AuditEvent } from '#domain/audit-event.ts';
import { type Fate, type Imported, type ImportedUser, openImporter } from '#infrastructure/postgres/import-users.ts';
import { type Output, UsageMistake } from './command.ts';
import { fernetKeysIn, firebaseParametersIn, helpersOf } from './import-helpers.ts';
import { progressBar } from './progress.ts';
import { openRejects, type Rejects } from './rejects.ts';
import { openSeenBefore, type SeenBefore } from './seen-before.ts';
import { type Entry, type Format, readUsers } from './user-file.ts';
import { type Helpers, readUser } from './user-record.ts';
import { type Surroundings, withUsers } from './with-users.ts';

export const IMPORT_USAGE =
  'latchkey users import FILE [--dry-run] [--format ndjson|csv] [--fernet-key-file F]... [--firebase-hash-config F] [--json]';

export const IMPORT_HELP = `import  makes an account of each line of FILE, as docs/import.md describes them, in batches that are written whole or not at all. Running it
        again goes on where it stopped: who is there already is left alone. Lines that cannot be taken are named, kept with the reason in
        FILE.rejects.ndjson (which holds password hashes), and end it with 1.
        --dry-run: the same report, and nothing is written but the rejects. --fernet-key-file: the keys of the TOTP secrets, one a line.
        --firebase-hash-config: the project's password hash parameters, as JSON`;

const BATCH = 500;

/**
 * How much the heap may grow over what lives in it before old garbage is collected; V8 alone would let it triple, on what batches
 * that are written have left. It is read at each collection, so that it may be set in a process that runs.
 */
const HEAP_GROWTH = '--heap-growing-percent=30';

type Counts = { imported: number; passkeys: number; alreadyThere: number };

export async function importUsers(args: string[], out: Output): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      'dry-run': { type: 'boolean' },
      format: { type: 'string' },
      'fernet-key-file': { type: 'string', multiple: true },
      'firebase-hash-config': { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  const [file, ...others] = positionals;
  if (file === undefined || others.length > 0) throw new UsageMistake('Name one file of users.');
  const format = formatOf(values.format, file);
  const oldKeys = (values['fernet-key-file'] ?? []).flatMap(fernetKeysIn);
  const firebase = values['firebase-hash-config'] === undefined ? null : firebaseParametersIn(values['firebase-hash-config']);
  const isRehearsal = values['dry-run'] ?? false;
  refuseUnreadable(file);

  setFlagsFromString(HEAP_GROWTH);
  const startedAtMs = performance.now();
  const report = await withUsers(out, { migrates: !isRehearsal }, async (surroundings) => {
    const helpers = helpersOf(surroundings, oldKeys, firebase);
    const rejects = await openRejects(`${file}.rejects.ndjson`, out);
    try {
      const counts = await run(file, format, { isRehearsal, address: surroundings.address, helpers, rejects });
      return { ...counts, rejected: rejects.count(), reasons: rejects.reasons(), rejectsFile: await rejects.close() };
    } catch (error) {
      await rejects.close().catch(() => {}); // what stopped it is what people must hear
      const said = error instanceof Error ? error.message : String(error);
      throw new Error(`It stopped: ${said}\nWhat was written stays; the same command goes on from there.`, { cause: error });
    }
  });
  const seconds = Math.round((performance.now() - startedAtMs) / 100) / 10;
  const { imported, passkeys, alreadyThere, rejected, reasons, rejectsFile } = report;
  if (values.json) {
    const told = {
      dry_run: isRehearsal,
      imported,
      passkeys,
      already_there: alreadyThere,
      rejected,
      reasons,
      rejects_file: rejectsFile,
      seconds,
    };
    out.print(JSON.stringify(told, null, 2));
  } else {
    out.print(
      `${imported} ${isRehearsal ? 'would be imported' : 'imported'} with ${passkeys} passkeys, ${alreadyThere} there already, ${rejected} rejected; ${seconds} s`,
    );
    for (const [reason, count] of Object.entries(reasons)) out.print(`  ${count} × ${reason}`);
    if (rejected > 0) out.print(`The rejected lines are in ${rejectsFile}: it holds password hashes, delete it when you are done.`);
  }
  return rejected > 0 ? 1 : 0;
}

type Run = { isRehearsal: boolean; address: Surroundings['address']; helpers: Helpers; rejects: Rejects };

async function run(file: string, format: Format, { isRehearsal, address, helpers, rejects }: Run): Promise<Counts> {
  const importer = openImporter(address);
  const bar = progressBar(process.stderr);
  const counts: Counts = { imported: 0, passkeys: 0, alreadyThere: 0 };
  const runId = randomUUIDv7();
  const seen = openSeenBefore(file);
  let share = 0;
  let batch: { entry: Entry; user: ImportedUser }[] = [];

  const flush = async () => {
    if (batch.length === 0) return;
    const users = batch.map(({ user }) => user);
    const at = new Date();
    const fates = isRehearsal
      ? await importer.rehearse(users)
      : await importer.write(users, (imported) => importEvent(runId, imported, { from: users[0], to: users.at(-1) }, at), at);
    for (const { entry, user } of batch) await account(entry, user, fates.get(user.line) ?? 'free');
    batch = [];
    bar.show(share, `${counts.imported + counts.alreadyThere} users, ${rejects.count()} rejected`);
  };
  const account = async (entry: Entry, user: ImportedUser, fate: Fate) => {
    if (typeof fate === 'object') await rejects.add(entry, fate.refused);
    else if (fate === 'already-there') counts.alreadyThere++;
    else {
      counts.imported++;
      counts.passkeys += user.passkeys.length;
    }
  };

  try {
    for await (const entry of readUsers(file, format, (now) => (share = now))) {
      const user = entry.fields === null ? { refused: entry.fault ?? '' } : await readUser(entry.fields, helpers);
      if ('refused' in user) {
        await rejects.add(entry, user.refused);
        continue;
      }
      const repeats = repetition(seen, user, entry.line);
      if (repeats) await rejects.add(entry, repeats.what, `line ${repeats.line}`);
      else batch.push({ entry, user: { ...user, line: entry.line } });
      if (batch.length === BATCH) await flush();
    }
    await flush();
    return counts;
  } finally {
    bar.end();
    seen.close();
    await importer.close();
  }
}

/** Which earlier line of the file has the same address, id, user name or passkey. */
function repetition(
  seen: SeenBefore,
  { email, id, username, passkeys }: Omit<ImportedUser, 'line'>,
  line: number,
): { what: string; line: number } | null {
  const said: [string, string | null][] = [
    ['address', email.canonical],
    ['id', id],
    ['user name', username?.canonical ?? null],
    ...passkeys.map(({ credentialId }): [string, string] => ['passkey', credentialId.toString('base64url')]),
  ];
  for (const [kind, value] of said) {
    const before = value === null ? null : seen.lineOf(`${kind} ${value}`, line);
    if (before !== null) return { what: `An earlier line has the same ${kind}.`, line: before };
  }
  return null;
}

type Lines = { from: ImportedUser | undefined; to: ImportedUser | undefined };

function importEvent(runId: string, { users, admins, passkeys }: Imported, { from, to }: Lines, at: Date): AuditEvent {
  return {
    id: randomUUIDv7(),
    type: 'USERS_IMPORTED',
    occurredAt: at,
    accountId: null,
    sessionId: null,
    ip: '127.0.0.1',
    userAgent: 'latchkey',
    requestId: 'command-line',
    risk: AUDIT_EVENTS.USERS_IMPORTED.risk,
    details: { run: runId, imported: users, admins, passkeys, from_line: from?.line ?? 0, to_line: to?.line ?? 0 },
  };
}

/** @throws before anything is begun */
function refuseUnreadable(file: string): void {
  try {
    accessSync(file, constants.R_OK);
    if (statSync(file).isDirectory()) throw new Error(`${file} is a folder`);
  } catch (error) {
    throw new Error(`The file of users cannot be read: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

function formatOf(given: string | undefined, file: string): Format {
  const format = given ?? (file.endsWith('.csv') ? 'csv' : 'ndjson');
  if (format !== 'ndjson' && format !== 'csv') throw new UsageMistake('--format is ndjson or csv.');
  return format;
}

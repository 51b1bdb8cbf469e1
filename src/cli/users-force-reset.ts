import { randomUUIDv7 } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type ForcedFate, forcePasswordReset } from '#application/force-password-reset.ts';
import type { AccountFilter, FoundAccount } from '#application/ports/accounts.ts';
import { daysInSeconds } from '#domain/lifetimes.ts';
import { ROLES, type Role } from '#domain/roles.ts';
import { searchPrefix } from '#domain/search-prefix.ts';
import { type Output, UsageMistake } from './command.ts';
import { progressBar } from './progress.ts';
import { CONNECTIONS } from './with-database.ts';
import { COMMAND_LINE, type CommandServices, commandConfig, withServices } from './with-services.ts';

export const FORCE_RESET_USAGE =
  'latchkey users force-reset --all | --query PREFIX | --role ROLE | --ids FILE [--dry-run] [--mails-per-minute N] [--since TIME] [--json]';

export const FORCE_RESET_HELP = `force-reset  takes passwords away that somebody else may know: of all, of those that match, or of the ids in FILE, one a line. Each account
        is one transaction: its password is gone, its sessions have ended, it stands in the audit trail and its owner is mailed to choose
        another password; passkeys and second factors stay. Passwords end at once, mails go out N a minute (600).
        Running it again goes on where it stopped: who was forced since TIME (7 days ago) is left alone.
        Give it the settings of the service: mails are sealed with its SECRET_KEY and lead to its FRONTEND_URL.
        --dry-run: the same report, and nothing is written`;

const PAGE = 500;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const OPTIONS = {
  all: { type: 'boolean' },
  query: { type: 'string' },
  role: { type: 'string' },
  ids: { type: 'string' },
  'dry-run': { type: 'boolean' },
  'mails-per-minute': { type: 'string' },
  since: { type: 'string' },
  json: { type: 'boolean' },
} as const;

type Chosen = { filter: AccountFilter } | { file: string };

export async function forceReset(args: string[], out: Output): Promise<number> {
  const { values } = parseArgs({ args, options: OPTIONS });
  const chosen = chosenBy(values);
  const perMinute = Number(values['mails-per-minute'] ?? '600');
  if (!Number.isInteger(perMinute) || perMinute < 1 || perMinute > 100_000)
    throw new UsageMistake('--mails-per-minute is a whole number from 1 to 100000.');
  const now = new Date();
  const since = values.since === undefined ? new Date(now.getTime() - daysInSeconds(7) * 1000) : new Date(values.since);
  if (Number.isNaN(since.getTime()) || since > now) throw new UsageMistake('--since is a time that has been, as 2026-01-31T10:00:00Z.');
  const isRehearsal = values['dry-run'] ?? false;
  const config = commandConfig({ isMailing: !isRehearsal });

  const run = randomUUIDv7();
  const counts: Record<ForcedFate, number> = { forced: 0, 'forced-before': 0, 'no-password': 0, 'not-there': 0 };
  await withServices(out, async (services) => {
    const { rehearse, force } = forcePasswordReset(services);
    const bar = progressBar(process.stderr);
    try {
      const ids = await idsOf(services, chosen);
      for (let i = 0; i < ids.length; i += CONNECTIONS) {
        const fates = await Promise.all(
          ids.slice(i, i + CONNECTIONS).map((id, ahead) => {
            const mailAt = new Date(Date.now() + ((counts.forced + ahead) / perMinute) * 60_000);
            return isRehearsal ? rehearse(id, since) : force(id, { since, mailAt, run }, COMMAND_LINE);
          }),
        );
        for (const fate of fates) counts[fate]++;
        const done = Math.min(i + CONNECTIONS, ids.length);
        bar.show(done / ids.length, `${done} of ${ids.length} accounts, ${counts.forced} forced`);
      }
    } finally {
      bar.end();
    }
  });

  const link = `${config.policy.frontendUrl}/forgot-password`;
  const minutes = Math.ceil(counts.forced / perMinute);
  if (values.json) {
    const { forced, 'forced-before': before, 'no-password': without, 'not-there': missing } = counts;
    const told = { dry_run: isRehearsal, run, forced, forced_before: before, without_password: without, not_there: missing };
    out.print(JSON.stringify({ ...told, mails_until_minutes: minutes, link }, null, 2));
  } else {
    out.print(
      `${counts.forced} ${isRehearsal ? 'would be forced' : 'forced'}, ${counts['forced-before']} were already, ` +
        `${counts['no-password']} have no password, ${counts['not-there']} not there`,
    );
    out.print(`Mails that lead to ${link} go out within ${minutes} min.`);
  }
  return 0;
}

function chosenBy({ all, query, role, ids }: { all?: boolean; query?: string; role?: string; ids?: string }): Chosen {
  const ways = [all === true, query !== undefined || role !== undefined, ids !== undefined].filter(Boolean).length;
  if (ways !== 1) throw new UsageMistake('Say whose passwords: --all, --query and --role, or --ids FILE.');
  if (ids !== undefined) return { file: ids };
  if (role !== undefined && !Object.hasOwn(ROLES, role)) throw new UsageMistake(`--role is one of ${Object.keys(ROLES).join(', ')}.`);
  return { filter: { prefix: query === undefined ? null : searchPrefix(query), role: (role ?? null) as Role | null, status: null } };
}

/** All of them before the first is changed: whoever registers meanwhile is none of those that it is about. */
async function idsOf({ store }: CommandServices, chosen: Chosen): Promise<string[]> {
  if ('file' in chosen) return idsIn(chosen.file);
  const ids: string[] = [];
  let after: string | null = null;
  do {
    const page: FoundAccount[] = await store.read((records) => records.accounts.search(chosen.filter, after, PAGE));
    ids.push(...page.map(({ account }) => account.id));
    after = page.length < PAGE ? null : (page.at(-1)?.position ?? null);
  } while (after !== null);
  return ids;
}

/** @throws when the file holds anything but ids: nobody is changed then */
function idsIn(file: string): string[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  const ids = lines.flatMap((line, i) => {
    const id = line.trim().toLowerCase();
    if (id !== '' && !UUID.test(id)) throw new Error(`${file}, line ${i + 1}: this is not the id of an account. Nothing was changed.`);
    return id === '' ? [] : [id];
  });
  return [...new Set(ids)];
}

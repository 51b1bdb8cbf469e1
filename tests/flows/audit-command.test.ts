import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditChain } from '#application/audit-chain.ts';
import { sealAudit } from '#application/seal-audit.ts';
import { deriveKeys } from '#infrastructure/crypto/derive-keys.ts';
import { type Database, openDatabase } from '#infrastructure/postgres/database.ts';
import { addEvents, asOwner, trailOn } from '#tests/support/audit.ts';
import { type Ran, runLatchkey } from '#tests/support/cli.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { psqlEnvironment, type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { has } from '#tests/support/programs.ts';
import { fakeS3 } from '#tests/support/s3.ts';
import { until } from '#tests/support/until.ts';

const SECRET_KEY = 'the secret of these tests, and of nothing else';
const MONTH = '2026-03';
const FOLLOWS_WITHIN_SECONDS = 40;
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-audit-'));
const archiveUrl = pathToFileURL(path.join(folder, 'archive')).href;
let database: TestDatabase;
let own: Database;
let ids: string[] = [];

const run = (words: string, settings = {}): Promise<Ran> =>
  runLatchkey(['audit', ...words.split(' ')], database.address, { SECRET_KEY, AUDIT_ARCHIVE_URL: archiveUrl, ...settings });

async function seal(): Promise<void> {
  const { trail } = trailOn(own, database.sql);
  const chain = auditChain([deriveKeys(Buffer.from(SECRET_KEY)).audit]);
  const once = sealAudit({ trail, chain, clock: { now: () => new Date() } });
  await until('all is sealed', async () => {
    await once();
    return (await run('verify --json')).printed[0]?.includes('"waiting":0');
  });
}

beforeAll(async () => {
  database = await testDatabase();
  own = openDatabase(database.address, { poolSize: 2, prepare: true });
  await database.sql`select audit_make_month(${MONTH})`;
  ids = await addEvents(database.sql, 50, new Date('2026-03-03T03:03:03Z'));
  await addEvents(database.sql, 7);
  await seal();
});
afterAll(async () => {
  await own.close();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

describe('latchkey audit', () => {
  it('verify proves the live table, and ends with 1 and the name of the first broken event', async () => {
    const good = await run('verify');
    expect(good).toMatchObject({ code: 0, printed: [expect.stringContaining('unbroken: 57 events')] });
    const [, head = ''] = /head (\S+)$/.exec(good.printed[0] ?? '') ?? [];
    expect(await run(`verify --head ${head}`)).toMatchObject({ code: 0 });
    expect(await run(`verify --head ${head.replace(/^\d+/, '99')}`)).toMatchObject({
      code: 1,
      printed: [expect.stringContaining('head-differs')],
    });
    const [row] = await database.sql<{ ip: string }[]>`select ip from audit_events where id = ${ids[9] ?? ''}`;
    await asOwner(database.sql, (tx) => tx`update audit_events set ip = '192.0.2.255' where id = ${ids[9] ?? ''}`);
    expect(await run('verify')).toMatchObject({ code: 1, printed: [`BROKEN: the event ${ids[9]} of ${MONTH} was changed`] });
    const { code, printed } = await run('verify --json');
    expect([code, JSON.parse(printed[0] ?? '')]).toMatchObject([1, { broken: { what: 'changed', id: ids[9], month: MONTH } }]);
    expect(await run('archive')).toMatchObject({ code: 1, complained: [expect.stringContaining(ids[9] ?? '')] });
    await asOwner(database.sql, (tx) => tx`update audit_events set ip = ${row?.ip ?? ''} where id = ${ids[9] ?? ''}`);
    expect(await run('verify')).toMatchObject({ code: 0 });
  });

  it('verify says when another SECRET_KEY made the seals, and takes that from a file', async () => {
    const other = { SECRET_KEY: 'another secret, which came after the one before' };
    expect(await run('verify', other)).toMatchObject({ code: 1, printed: [expect.stringContaining('seal-of-unknown-key')] });
    const file = path.join(folder, 'earlier-key');
    writeFileSync(file, `${SECRET_KEY}\n`);
    expect(await run(`verify --key-file ${file}`, other)).toMatchObject({ code: 0 });
  });

  it('tail prints the newest events, for a collector too', async () => {
    const { printed } = await run('tail --lines 3');
    expect(printed.map((line) => JSON.parse(line).type)).toEqual(['LOGIN_FAILED', 'LOGIN_FAILED', 'LOGIN_FAILED']);
    const [line = ''] = (await run('tail --lines 1 --ecs')).printed;
    expect(JSON.parse(line)).toMatchObject({
      event: { action: 'LOGIN_FAILED', outcome: 'failure', risk_score: 20 },
      source: { ip: expect.any(String) },
    });
  });

  it("[V16.4.2] archive, verify and restore: an auditor's restore of an archived month verifies", async () => {
    expect(await run('archive --older-than 90')).toMatchObject({
      code: 0,
      printed: [expect.stringContaining(`${MONTH}: 50 events are at file://`)],
    });
    expect(await run('archive')).toMatchObject({ code: 0, printed: [] });
    expect(await run('verify')).toMatchObject({ code: 0, printed: [expect.stringContaining('unbroken: 7 events')] });
    expect(await run('verify --archive all')).toMatchObject({ code: 0, printed: [`${MONTH} is unbroken: 50 events`] });
    expect(await run(`verify --archive ${MONTH} --from ${archiveUrl}`, { AUDIT_ARCHIVE_URL: '' })).toMatchObject({ code: 0 });
    expect(await run(`restore ${MONTH} --json`)).toMatchObject({ code: 0, printed: ['{"table":"audit_restored_2026_03","events":50}'] });
    const restored = await database.sql<{ id: string }[]>`select id from audit_restored_2026_03 order by position, id`;
    expect(restored.map(({ id }) => id)).toEqual(ids);
    expect(await run(`restore ${MONTH}`)).toMatchObject({ code: 1, complained: [expect.stringContaining('drop it first')] });
  });

  it('archives to a bucket and proves it there', async () => {
    const s3 = await fakeS3({ accessKeyId: 'AKID', secretAccessKey: 's' });
    const settings = {
      AUDIT_ARCHIVE_URL: 's3://audit/latchkey',
      AWS_ENDPOINT_URL: s3.endpoint,
      AWS_ACCESS_KEY_ID: 'AKID',
      AWS_SECRET_ACCESS_KEY: 's',
    };
    try {
      await database.sql`select audit_make_month('2026-02')`;
      await addEvents(database.sql, 5, new Date('2026-02-02'));
      await seal();
      expect(await run('archive', settings)).toMatchObject({ code: 0 });
      expect([...s3.objects.keys()].length).toBe(3);
      expect(await run('verify --archive all', settings)).toMatchObject({ code: 0, printed: ['2026-02 is unbroken: 5 events'] });
      expect(await run('verify')).toMatchObject({ code: 0 });
    } finally {
      await s3.stop();
    }
  });

  it.runIf(has('psql') && has('jq'))(
    'keeps a month that somebody wrote into late, and the runbook shows what',
    { timeout: 60_000 },
    async () => {
      const month = '2026-01';
      await database.sql`select audit_make_month(${month})`;
      await addEvents(database.sql, 20, new Date('2026-01-10'));
      await seal();
      await database.sql.begin(async (tx) => {
        await tx`set local idle_in_transaction_session_timeout = 0`;
        await tx`select from audit_events_2026_01 limit 1`; // whoever reads it keeps it from being dropped
        expect(await run('archive')).toMatchObject({
          code: 1,
          complained: [],
          printed: [expect.stringContaining('still in the database')],
        });
      });
      const [late] = await addEvents(database.sql, 1, new Date('2026-01-12'));
      expect(await run('archive')).toMatchObject({ code: 1, complained: [`the month ${month} has events that its archive has not`] });

      const page = readFileSync(new URL('../../docs/runbooks/audit.md', import.meta.url), 'utf8');
      const [, look = ''] = /^```console\n(last=.*?)^```$/ms.exec(page) ?? [];
      const script = look
        .replace('/mnt/archive', path.join(folder, 'archive'))
        .replaceAll('2026-03', month)
        .replaceAll('2026_03', '2026_01');
      const shown = execFileSync('bash', ['-euc', script], { env: psqlEnvironment(database.address), encoding: 'utf8' });
      expect(shown).toContain(late);
      expect(shown).toContain('(1 row)');
    },
  );

  it.each([
    '',
    'forget',
    'verify now',
    'restore',
    'restore 2026-13',
    'archive --older-than 5',
    'archive --older-than x',
    'tail --lines x',
    'verify --head x',
    'verify --archive x',
    'verify --archive all --from ftp://x',
    'verify --what',
  ])('refuses "%s" with its help', async (words) => {
    const { code, complained } = await run(words);
    expect(code).toBe(2);
    expect(complained.join()).toContain('Usage: latchkey audit');
  });

  // The last one here: its event is none that the others count.
  it('tail --follow goes on with what comes, until it is told to end', async () => {
    const unsettled = () => database.sql`select from audit_events where position >= audit_horizon() limit 1`;
    await until('what the others wrote is settled', async () => (await unsettled()).length === 0, FOLLOWS_WITHIN_SECONDS);
    const { child, ended } = latchkeyProcess(database.address, ['audit', 'tail', '--lines', '1', '--follow'], { SECRET_KEY });
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    try {
      await until('the newest event is printed', () => said.endsWith('\n'), FOLLOWS_WITHIN_SECONDS);
      const [id = 'none'] = await addEvents(database.sql, 1);
      // Other databases of the server may have transactions open: an event is settled when those have ended.
      await until('so is the one that came', () => said.endsWith('\n') && said.includes(id), FOLLOWS_WITHIN_SECONDS);
      expect(said.trim().split('\n')).toHaveLength(2);
      expect(JSON.parse(said.trim().split('\n')[1] ?? '')).toMatchObject({ id, type: 'LOGIN_FAILED' });
    } finally {
      child.kill();
    }
    expect(await ended).toMatchObject({ code: null, err: '' });
  }, 130_000);
});

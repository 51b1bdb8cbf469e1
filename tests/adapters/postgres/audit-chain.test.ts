import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { auditChain } from '#application/audit-chain.ts';
import { sealAudit } from '#application/seal-audit.ts';
import { verifyTrail } from '#application/verify-trail.ts';
import { addEvents, asOwner, chain, type Trail, trailOn } from '#tests/support/audit.ts';
import { until } from '#tests/support/until.ts';
import { openedForTests } from './opened.ts';

const here = openedForTests();
const opened = (): Trail => trailOn(here.database, here.sql);
const verify = (known?: Parameters<ReturnType<typeof verifyTrail>>[0]) => verifyTrail({ trail: opened().trail, chain })(known);

async function sealed(...batches: number[]): Promise<string[][]> {
  const all: string[][] = [];
  for (const count of batches) {
    all.push(await addEvents(here.sql, count));
    await opened().sealAll();
  }
  return all;
}

describe('the audit chain', () => {
  it('[V16.4.2] proves what was sealed, and says what is not sealed yet', async () => {
    await sealed(30, 1, 12);
    await addEvents(here.sql, 3);
    expect(await verify()).toMatchObject({ broken: null, sealed: 43, waiting: 3, seals: 3 });
  });

  it('holds in batches and over months', async () => {
    await addEvents(here.sql, 1500, new Date('2026-10-31T23:59:59Z'));
    await addEvents(here.sql, 1500, new Date());
    await opened().sealAll();
    expect(await verify()).toMatchObject({ broken: null, sealed: 3000, waiting: 0 });
  });

  it('seals what a long transaction wrote only when that has ended, in its place', async () => {
    const { trail, seal, sealAll } = opened();
    let early: string[] = [];
    await here.sql.begin(async (tx) => {
      early = await addEvents(tx, 2);
      await addEvents(here.sql, 2);
      expect(await seal()).toEqual({ sealed: 0, more: false });
    });
    await sealAll();
    expect((await trail.rows(null, 10)).slice(0, 2).map(({ id }) => id)).toEqual(early);
    expect(await verify()).toMatchObject({ broken: null, sealed: 4 });
  });

  it('is one chain, though many seal at once', async () => {
    await addEvents(here.sql, 4000);
    await addEvents(here.sql, 10);
    const sealers = Array.from({ length: 8 }, () => opened().sealAll());
    await Promise.all(sealers);
    expect(await verify()).toMatchObject({ broken: null, sealed: 4010, waiting: 0 });
  });

  it('tells who listens of each event at least once: a crash before the seal tells again', async () => {
    const heard: string[] = [];
    const ids = await addEvents(here.sql, 5);
    const { trail, sealAll } = opened();
    await sealAll();
    await asOwner(here.sql, (tx) => tx`truncate audit_seals`);
    const crashing = { ...trail, addSeals: async () => Promise.reject(new Error('killed')) };
    const publish = async (rows: readonly { id: string }[]) => void heard.push(...rows.map(({ id }) => id));
    await expect(sealAudit({ trail: crashing, chain, clock: { now: () => new Date() }, publish })()).rejects.toThrow('killed');
    await sealAudit({ trail, chain, clock: { now: () => new Date() }, publish })();
    expect(heard).toEqual([...ids, ...ids]);
  });

  it('counts an event once, when it is sealed: not where that fails, nor where another was first', async () => {
    await addEvents(here.sql, 5);
    const { trail } = opened();
    const counted: number[] = [];
    const seal = (on: typeof trail) =>
      sealAudit({ trail: on, chain, clock: { now: () => new Date() }, count: (rows) => void counted.push(rows.length) })();
    // Transactions of other databases hold the seal back until they end.
    const killed = () => seal({ ...trail, addSeals: () => Promise.reject(new Error('killed')) });
    await until('there is something to seal', () =>
      killed().then(
        () => false,
        (error: Error) => error.message === 'killed',
      ),
    );
    expect(counted).toEqual([]);
    expect(await Promise.all(Array.from({ length: 4 }, () => seal(trail)))).toContainEqual({ sealed: 5, more: false });
    expect(counted).toEqual([5]);
  });

  const places: [string, number][] = [
    ['the first event', 0],
    ['one in the middle', 25],
    ['the last', 42],
  ];
  it.each(places)('[V16.4.2] names %s when it was changed', async (_, place) => {
    const id = (await sealed(30, 13)).flat()[place] ?? '';
    await asOwner(here.sql, (tx) => tx`update audit_events set ip = '198.51.100.1' where id = ${id}`);
    expect((await verify()).broken).toMatchObject({ what: 'changed', id });
  });

  it.each([
    ['occurred_at', `occurred_at + interval '1 millisecond'`],
    ['type', `'LOGOUT'`],
    ['account_id', 'null'],
    ['session_id', 'gen_random_uuid()'],
    ['user_agent', `user_agent || ' '`],
    ['request_id', `'another'`],
    ['risk', '0'],
    ['details', `details || '{"reason": "known"}'`],
    ['details', `details || '{"n": 1.5}'`],
    ['position', 'position - 1'],
    ['position', 'position + 1000000'],
  ])('notices another %s: %s', async (column, value) => {
    const [ids = []] = await sealed(3);
    await asOwner(here.sql, (tx) => tx.unsafe(`update audit_events set ${column} = ${value} where id = '${ids[1]}'`));
    expect((await verify()).broken).toMatchObject({ what: 'changed', id: ids[1] });
  });

  it.each(places)('[V16.4.2] names %s when it was deleted', async (_, place) => {
    const id = (await sealed(30, 13)).flat()[place] ?? '';
    await asOwner(here.sql, (tx) => tx`delete from audit_events where id = ${id}`);
    expect((await verify()).broken).toMatchObject({ what: 'deleted', id });
  });

  it('[V16.4.2] names an event that was slipped in among those that were sealed', async () => {
    const { trail } = opened();
    await sealed(30, 13);
    const [row] = await trail.rows(null, 1);
    for (const [position, at] of [
      [row?.position ?? 0, new Date()],
      [0, new Date()],
      [row?.position ?? 0, new Date('2020-02-02')], // a month that no seal is of
    ] as const) {
      const id = crypto.randomUUID();
      await here.sql`insert into audit_events (id, occurred_at, type, ip, request_id, risk, details, position)
        values (${id}, ${at}, 'LOGOUT', '192.0.2.1', 'a test', 0, '{}', ${position})`;
      expect((await verify()).broken).toMatchObject({ what: 'inserted', id });
      await asOwner(here.sql, (tx) => tx`delete from audit_events where id = ${id}`);
    }
  });

  it('notices two events that changed places, and one that moved to another month', async () => {
    const [ids = []] = await sealed(5);
    const [one, two] = [ids[1] ?? '', ids[2] ?? ''];
    const swap = crypto.randomUUID();
    await asOwner(here.sql, async (tx) => {
      await tx`update audit_events set id = ${swap} where id = ${one}`;
      await tx`update audit_events set id = ${one} where id = ${two}`;
      await tx`update audit_events set id = ${two} where id = ${swap}`;
    });
    expect((await verify()).broken).toMatchObject({ what: 'changed', id: one });
  });

  it.each([
    ['changed', 'seal-changed', `update audit_seals set sealed_at = sealed_at - interval '1 day' where number = 2`],
    [
      'given other entries',
      'seal-changed',
      'update audit_seals set entries = (select entries from audit_seals where number = 1) where number = 2',
    ],
    ['taken away', 'seal-missing', 'delete from audit_seals where number = 2'],
    ['put first', 'seal-missing', 'update audit_seals set number = -number where number = 2'],
  ])('names a seal that was %s', async (_, what, statement) => {
    await sealed(3, 3, 3);
    await asOwner(here.sql, (tx) => tx.unsafe(statement));
    expect((await verify()).broken).toMatchObject({ what });
  });

  it('cannot be made anew by who has the database and not the key', async () => {
    const [ids = []] = await sealed(3);
    await asOwner(here.sql, async (tx) => {
      await tx`update audit_events set risk = 0 where id = ${ids[0] ?? ''}`;
      await tx`truncate audit_seals`;
    });
    const forger = auditChain([createHmac('sha256', 'guessed').digest()]);
    await sealAudit({ trail: opened().trail, chain: forger, clock: { now: () => new Date() } })();
    expect((await verify()).broken).toEqual({ what: 'seal-of-unknown-key', seal: 1, month: expect.any(String) });
  });

  it('goes on under a new key, and proves the old part with the old one', async () => {
    await sealed(3);
    const key = (text: string) => createHmac('sha256', text).update('audit').digest();
    const renewed = auditChain([key('a new secret'), key('a test')]);
    await addEvents(here.sql, 4);
    const { trail } = opened();
    const seal = sealAudit({ trail, chain: renewed, clock: { now: () => new Date() } });
    // Nothing is sealed while an older transaction runs anywhere on the server: those of other tests too.
    await until('the rest is sealed', async () => (await seal()).sealed > 0);
    expect(await verifyTrail({ trail, chain: renewed })()).toMatchObject({ broken: null, sealed: 7 });
    expect((await verify()).broken).toMatchObject({ what: 'seal-of-unknown-key', seal: 2 });
  });

  it('shows that its end was cut off to who kept a head of it', async () => {
    await sealed(3, 3);
    const { head } = await verify();
    expect((await verify(head)).broken).toBeNull();
    await asOwner(here.sql, async (tx) => {
      await tx`delete from audit_events where position > (select last_position from audit_seals where number = 1)`;
      await tx`delete from audit_seals where number = 2`;
    });
    expect((await verify()).broken).toBeNull();
    expect((await verify(head)).broken).toMatchObject({ what: 'head-differs' });
    await sealed(2);
    expect((await verify(head)).broken).toMatchObject({ what: 'head-differs' });
  });
});

describe('the questions of the sealer and of verify', () => {
  it('read no more rows than they ask for, however long the trail is', async () => {
    await addEvents(here.sql, 20_000);
    await here.sql`analyze audit_events`;
    // A transaction of another test that began before them holds the horizon back: then there is nothing to read.
    const unsettled = () => here.sql`select from audit_events where position >= audit_horizon() limit 1`;
    await until('all of them are settled', async () => (await unsettled()).length === 0, 30);
    const page = `(position, id) > (0, '00000000-0000-7000-8000-000000000000') and position < audit_horizon() order by position, id limit 1000`;
    for (const query of [`select * from audit_events where ${page}`, 'select max(position) from audit_events']) {
      const plan = (await here.sql.unsafe(`explain (analyze, costs off, timing off) ${query}`)).map((row) => String(row['QUERY PLAN']));
      const read = plan.flatMap((line) => (line.includes('Scan') ? [Number(/rows=([\d.]+)/.exec(line)?.[1])] : []));
      expect(Math.max(...read), plan.join('\n')).toBeLessThanOrEqual(1001);
      expect(plan.join('\n')).not.toMatch(/Seq Scan on audit_events_\d|Sort +\(|Filter:/);
    }
  });
});

describe('the database', () => {
  it.each(['audit_events', 'audit_seals', 'audit_archives'])(
    '[V16.4.2] refuses to change, delete or empty %s, its owner too',
    async (table) => {
      await sealed(3);
      await here.sql`insert into audit_archives (month, location, manifest, archived_at) values ('2020-01', 'x', 'x', now())`;
      const first = { audit_events: 'risk = 0', audit_seals: 'events = 0', audit_archives: `location = 'y'` }[table];
      for (const statement of [`update ${table} set ${first}`, `delete from ${table}`, `truncate ${table}`])
        await expect(here.sql.unsafe(statement), statement).rejects.toMatchObject({ code: '42501' });
    },
  );

  it('[V16.4.2] refuses it on each partition too', async () => {
    await sealed(3);
    const partitions = await here.sql<{ name: string }[]>`
      select tableoid::regclass::text as name from audit_events limit 1`;
    for (const name of [partitions[0]?.name ?? '', 'audit_events_default'])
      await expect(here.sql.unsafe(`truncate ${name}`)).rejects.toMatchObject({ code: '42501' });
    await expect(here.sql.unsafe(`delete from ${partitions[0]?.name}`)).rejects.toMatchObject({ code: '42501' });
  });
});

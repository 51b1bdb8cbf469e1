import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Housekeeping, maintenance } from '#application/maintenance.ts';
import { after } from '#domain/lifetimes.ts';
import { type Database, openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresHousekeeping } from '#infrastructure/postgres/housekeeping.ts';
import { type Leases, postgresLeases } from '#infrastructure/postgres/leases.ts';
import { startSchedule } from '#infrastructure/schedule/schedule.ts';
import { until } from '#tests/support/until.ts';
import { openedForTests } from './opened.ts';
import { DAY, HOUR } from './records.ts';

const here = openedForTests();
const now = new Date();
const clock = { now: () => now };
const ago = (seconds: number) => after(now, -seconds);
const soon = after(now, HOUR);
const ROWS = 5500;
const LEFT = 40;

/** Rows that are over, and some that are not. */
async function fill(): Promise<void> {
  const { sql } = here;
  const [old, young] = [ago(4 * DAY), ago(HOUR)];
  const account = randomUUID();
  await sql`insert into accounts (id, email, email_canonical, created_at, updated_at) values (${account}, 'x', 'x', ${old}, ${old})`;
  for (const [end, rows] of [
    [old, ROWS],
    [young, LEFT],
  ] as const) {
    await sql`insert into tickets (id, purpose, account_id, secret_hash, created_at, expires_at)
      select gen_random_uuid(), 'verify-email', ${account}, sha256(gen_random_uuid()::text::bytea), ${end}, ${end} from generate_series(1, ${rows}::int)`;
    await sql`insert into sessions (id, account_id, transport, ip, amr, acr, auth_time, created_at, last_seen_at, idle_end_at, absolute_end_at, refresh_secret_hash)
      select gen_random_uuid(), ${account}, 'bearer', '192.0.2.1', '{pwd}', 'aal1', ${end}, ${end}, ${end}, ${end}, ${end}, 'x'
      from generate_series(1, ${rows}::int)`;
    await sql`insert into login_throttles (identifier_hash, network, failures, last_failed_at)
      select sha256(gen_random_uuid()::text::bytea), '192.0.2.0', 1, ${end} from generate_series(1, ${rows}::int)`;
  }
}

const left = async () => {
  const [row] = await here.sql`select (select count(*)::int from tickets) as tickets, (select count(*)::int from sessions) as sessions,
    (select count(*)::int from login_throttles) as throttles`;
  return row;
};
const ALL_LEFT = { tickets: LEFT, sessions: LEFT, throttles: LEFT };

const runOn = async (database: Database, more: Partial<Housekeeping> = {}) => {
  const housekeeping = { ...postgresHousekeeping(database), ...more };
  for (const job of maintenance({ housekeeping, clock })) await job.run(new AbortController().signal);
};

describe('maintenance', () => {
  it('removes what has been over for a while, and nothing else, a thousand rows a statement', async () => {
    await fill();
    const batches: number[] = [];
    const real = postgresHousekeeping(here.database);
    await runOn(here.database, {
      removeTickets: async (before, limit) => {
        batches.push(await real.removeTickets(before, limit));
        return batches.at(-1) ?? 0;
      },
    });
    expect(batches).toEqual([1000, 1000, 1000, 1000, 1000, 500]);
    expect(await left()).toEqual(ALL_LEFT);
  });

  it('keeps counts of second factors, however old, and locks that run', async () => {
    const old = ago(400 * DAY);
    await here.sql`insert into login_throttles (identifier_hash, network, failures, last_failed_at, locked_until)
      values ('a', 'any', 99, ${old}, null), ('b', '192.0.2.0', 5, ${old}, ${soon}), ('c', '192.0.2.0', 5, ${old}, ${old})`;
    await runOn(here.database);
    const kept = await here.sql<{ failures: number }[]>`select failures from login_throttles order by failures`;
    expect(kept.map(({ failures }) => failures)).toEqual([5, 99]);
  });

  it('is done by two at once without waiting for each other, nor for who holds a row', async () => {
    await fill();
    const other = openDatabase(here.address, { poolSize: 2, prepare: true });
    try {
      await here.sql.begin(async (tx) => {
        await tx`select from tickets where expires_at < ${ago(2 * DAY)} limit 10 for update`;
        await Promise.all([runOn(here.database), runOn(other)]);
      });
    } finally {
      await other.close();
    }
    expect(await left()).toEqual({ ...ALL_LEFT, tickets: LEFT + 10 });
    await runOn(here.database);
    expect(await left()).toEqual(ALL_LEFT);
  });

  it('that is killed in the middle is finished by the next run', async () => {
    await fill();
    const real = postgresHousekeeping(here.database);
    let times = 0;
    const dying: Partial<Housekeeping> = {
      removeSessions: async (before, limit) => {
        if (++times === 3) throw new Error('killed');
        return await real.removeSessions(before, limit);
      },
    };
    await expect(runOn(here.database, dying)).rejects.toThrow('killed');
    expect(await left()).toMatchObject({ sessions: ROWS + LEFT - 2000 });
    await runOn(here.database);
    expect(await left()).toEqual(ALL_LEFT);
  });

  it('reads no table from end to end', async () => {
    await fill();
    await here.sql`analyze`;
    for (const [table, column] of [
      ['tickets', 'expires_at'],
      ['sessions', 'absolute_end_at'],
      ['login_throttles', 'last_failed_at'],
    ]) {
      const plan = await here.sql.unsafe(
        `explain select from ${table} where ${column} < now() - interval '3 days' order by ${column} limit 1000`,
      );
      expect(plan.map((row) => row['QUERY PLAN']).join('\n')).toMatch(/Index (Only )?Scan/);
    }
  });
});

describe('a schedule', () => {
  const leases = () => postgresLeases(here.database);
  const held = async () => (await here.sql`select holder from leases where job = 'a-job'`)[0]?.['holder'];

  it('has one runner among replicas, and another when that one stops', async () => {
    await here.sql`delete from leases`;
    const runs = [0, 0, 0];
    const count = (replica: number) => runs.splice(replica, 1, (runs[replica] ?? 0) + 1);
    const schedules = runs.map((_, replica) =>
      startSchedule([{ name: 'a-job', everySeconds: 0.02, run: async () => void count(replica) }], leases(), () => {}),
    );
    const busy = () => runs.filter((count) => count > 0).length;
    await until('it ran some times', () => runs.some((count) => count >= 5));
    expect(busy()).toBe(1);
    const first = runs.findIndex((count) => count > 0);
    await schedules[first]?.stop();
    await until('another one runs', () => busy() === 2);
    for (const schedule of schedules) await schedule.stop();
    expect(await held()).toBeUndefined();
  });

  it('goes on elsewhere when its runner died, once its time is up', async () => {
    await here.sql`delete from leases`;
    const dead = randomUUID();
    expect(await leases().hold('a-job', dead, 600)).toBe(true);
    let runs = 0;
    const schedule = startSchedule([{ name: 'a-job', everySeconds: 0.02, run: async () => void runs++ }], leases(), () => {});
    await until('it asked', async () => (await held()) === dead);
    expect(runs).toBe(0);
    await here.sql`update leases set held_until = now() - interval '1 second'`;
    await until('it runs', () => runs > 0);
    await schedule.stop();
  });

  it('holds a job of a long rhythm for a moment while it runs, and until the next turn once it has', async () => {
    await here.sql`delete from leases`;
    const heldFor = async () =>
      Number((await here.sql`select extract(epoch from held_until - now()) as seconds from leases`)[0]?.['seconds']);
    const finished = Promise.withResolvers<void>();
    let runs = 0;
    const job = (run: () => Promise<void>) => [{ name: 'a-job', everySeconds: HOUR, run }];
    const schedule = startSchedule(
      job(async () => {
        runs++;
        await finished.promise;
      }),
      leases(),
      () => {},
    );
    await until('it runs', () => runs === 1);
    expect(await heldFor()).toBeLessThanOrEqual(30);
    finished.resolve();
    await until('it rests', async () => (await heldFor()) > HOUR);
    expect(await heldFor()).toBeLessThanOrEqual(HOUR + 30);
    const asked: boolean[] = [];
    const asking: Leases = {
      ...leases(),
      async hold(...what) {
        const isOurs = await leases().hold(...what);
        asked.push(isOurs);
        return isOurs;
      },
    };
    const other = startSchedule(
      job(async () => void runs++),
      asking,
      () => {},
    );
    await until('another one asked', () => asked.length > 0);
    expect([asked, runs]).toEqual([[false], 1]);
    await schedule.stop();
    await other.stop();
    expect(await held()).toBeUndefined();
  });

  it('hands a job on at its end, though the work goes on for longer than that', async () => {
    await here.sql`delete from leases`;
    const finished = Promise.withResolvers<void>();
    let asked = 0;
    const counting: Leases = {
      ...leases(),
      hold: (...what) => {
        asked++;
        return leases().hold(...what);
      },
    };
    const schedule = startSchedule([{ name: 'a-job', everySeconds: HOUR, run: () => finished.promise }], counting, () => {});
    await until('it is held', held);
    await schedule.stop();
    finished.resolve();
    await setImmediate();
    expect([asked, await held()]).toEqual([1, undefined]);
  });

  it('tells of a run that failed and tries again', async () => {
    await here.sql`delete from leases`;
    const told: string[] = [];
    let runs = 0;
    const job = {
      name: 'a-job',
      everySeconds: 0.02,
      run: async () => {
        if (++runs < 3) throw new Error(`failure ${runs}`);
      },
    };
    const schedule = startSchedule(
      [job],
      leases(),
      (name, error) => void told.push(`${name}: ${error instanceof Error ? error.message : ''}`),
    );
    await until('it ran', () => runs >= 3);
    await schedule.stop();
    expect(told).toEqual(['a-job: failure 1', 'a-job: failure 2']);
  });
});

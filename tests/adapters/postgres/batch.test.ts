import { describe, expect, it } from 'vitest';
import { DependencyDown } from '#application/ports/errors.ts';
import { after } from '#domain/lifetimes.ts';
import { batched } from '#infrastructure/postgres/batch.ts';
import { MOST_WAITING, openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { until } from '#tests/support/until.ts';
import { openedForTests } from './opened.ts';
import { account, auditTally, fifty, hash, openedSession, tally, use } from './records.ts';
import { wireTo } from './wire.ts';

/** A batcher whose statements end when the test says so; the outcome of an input is the input doubled. */
function held(options: { most: number; atOnce: number; keyOf?: (input: number) => string }) {
  const sent: { inputs: readonly number[]; end(error?: Error): void }[] = [];
  const ask = batched(
    (inputs: readonly number[]) =>
      new Promise<number[]>((resolve, reject) => {
        sent.push({ inputs, end: (error) => (error ? reject(error) : resolve(inputs.map((input) => 2 * input))) });
      }),
    options,
  );
  return { ask, sent, inputs: () => sent.map(({ inputs }) => inputs) };
}
const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe('calls that share a statement', () => {
  it('are those of one turn, then those that come meanwhile; each gets its own outcome', async () => {
    const { ask, sent, inputs } = held({ most: 10, atOnce: 1 });
    const first = [1, 2, 3].map(ask);
    await turn();
    const second = [4, 5].map(ask);
    await turn();
    expect(inputs()).toEqual([[1, 2, 3]]);
    sent[0]?.end();
    expect(await Promise.all(first)).toEqual([2, 4, 6]);
    expect(inputs()).toEqual([
      [1, 2, 3],
      [4, 5],
    ]);
    sent[1]?.end();
    expect(await Promise.all(second)).toEqual([8, 10]);
  });

  it('are at most so many, in at most so many statements at once', async () => {
    const { ask, sent, inputs } = held({ most: 2, atOnce: 2 });
    const all = [1, 2, 3, 4, 5].map(ask);
    await turn();
    expect(inputs()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    sent[1]?.end();
    await turn();
    expect(inputs()[2]).toEqual([5]);
    for (const { end } of sent) end();
    expect(await Promise.all(all)).toEqual([2, 4, 6, 8, 10]);
  });

  it('never have the same key: the second goes with the next', async () => {
    const { ask, sent, inputs } = held({ most: 10, atOnce: 1, keyOf: (input) => String(input % 10) });
    const all = [1, 11, 2, 21].map(ask);
    for (let statement = 0; statement < 3; statement++) {
      await turn();
      sent[statement]?.end();
    }
    expect(inputs()).toEqual([[1, 2], [11], [21]]);
    expect(await Promise.all(all)).toEqual([2, 22, 4, 42]);
  });

  it('do not share in a mistake: each is tried alone, and only the one that is wrong fails', async () => {
    const ask = batched(
      async (inputs: readonly number[]) => {
        if (inputs.includes(2)) throw new Error('two is wrong');
        return inputs;
      },
      { most: 10, atOnce: 1 },
    );
    const results = await Promise.allSettled([1, 2, 3].map(ask));
    expect(results.map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason)))).toEqual([
      1,
      'Error: two is wrong',
      3,
    ]);
    expect(await ask(4)).toBe(4);
  });

  it('wait in a line that ends: more are told at once that it is busy, and all that wait are served', async () => {
    const { ask, sent } = held({ most: MOST_WAITING, atOnce: 1 });
    const first = ask(0);
    await turn();
    const waiting = Array.from({ length: MOST_WAITING }, (_, number) => ask(number));
    await expect(ask(1)).rejects.toBeInstanceOf(DependencyDown);
    sent[0]?.end();
    await first;
    await turn();
    sent[1]?.end();
    expect(await Promise.all(waiting)).toEqual(Array.from({ length: MOST_WAITING }, (_, number) => 2 * number));
    const next = ask(7);
    await turn();
    sent[2]?.end();
    expect(await next).toBe(14);
  });

  it('share in an outage, and those that wait are sent at once: none waits for a second failure', async () => {
    const { ask, sent, inputs } = held({ most: 1, atOnce: 1 });
    const all = [1, 2, 3].map(ask);
    await turn();
    sent[0]?.end(new DependencyDown('postgres'));
    await expect(all[0]).rejects.toThrow(DependencyDown);
    expect(inputs()).toEqual([[1], [2], [3]]);
    for (const { end } of sent) end();
    expect(await Promise.all(all.slice(1))).toEqual([4, 6]);
  });
});

describe('refreshes and look-ups that come together', () => {
  const here = openedForTests();
  const at = new Date();
  const later = (seconds: number) => after(at, seconds);
  const fresh = async () => await openedSession(here.store.hot, await account(here.sql, at), at);

  it('[V15.4.2] rotate each session once, of fifty uses that name some of them twice, and give each its own', async () => {
    const sessions = await Promise.all(Array.from({ length: 25 }, fresh));
    const uses = await fifty(async (index) => {
      const opened = sessions[index % 25] as (typeof sessions)[number];
      const client = { ip: `192.0.2.${index}`, userAgent: `a "quoted\\" {agent}, ${index}` };
      return { opened, client, rotation: await here.store.hot.rotate(use(opened, 0, later(1), { client })) };
    });
    expect(tally(uses.map(({ rotation }) => rotation?.outcome))).toEqual({ rotated: 25, retried: 25 });
    for (const { opened, client, rotation } of uses)
      expect(rotation).toMatchObject({ counter: 1, session: { id: opened.id, ...client }, account: { id: opened.accountId } });
    expect(await auditTally(here.sql)).toEqual({ LOGIN_SUCCEEDED: 25, TOKEN_REFRESHED: 50 });
    const events = await here.sql<{ session_id: string; user_agent: string }[]>`
      select session_id, user_agent from audit_events where type = 'TOKEN_REFRESHED' order by user_agent`;
    expect(events).toEqual(
      uses
        .map(({ opened, client }) => ({ session_id: opened.id, user_agent: client.userAgent }))
        .sort((a, b) => (a.user_agent < b.user_agent ? -1 : 1)),
    );
  });

  it('meet the row in one state only: a thief, a stranger and a latecomer beside forty-seven that are right', async () => {
    const sessions = await Promise.all(Array.from({ length: 50 }, fresh));
    const [stolen, foreign, ended] = sessions as [(typeof sessions)[0], (typeof sessions)[0], (typeof sessions)[0]];
    await here.store.hot.rotate(use(stolen, 0, at));
    await here.sql`update sessions set revoked_at = ${at} where id = ${ended.id}`;
    const wrong = new Map([[foreign.id, { secretHash: hash() }]]);
    const rotations = await fifty((index) => {
      const opened = sessions[index] as (typeof sessions)[0];
      return here.store.hot.rotate(use(opened, 0, later(60), wrong.get(opened.id)));
    });
    expect(rotations.slice(0, 3).map((rotation) => rotation?.outcome)).toEqual(['reused', undefined, undefined]);
    expect(tally(rotations.slice(3).map((rotation) => rotation?.outcome))).toEqual({ rotated: 47 });
    expect(await auditTally(here.sql)).toEqual({ LOGIN_SUCCEEDED: 50, TOKEN_REFRESHED: 48, REFRESH_TOKEN_REUSED: 1 });
  });

  it('[V15.4.3] do not wait for a session that somebody else holds, and two replicas never for each other', async () => {
    const replica = openDatabase(here.address, { poolSize: 10, prepare: true });
    const other = postgresStore(replica);
    // Fewer than connections: postgres.js sends what it has no connection for behind a statement that waits.
    const sessions = await Promise.all(Array.from({ length: 9 }, fresh));
    const [busy, ...free] = sessions as [(typeof sessions)[0], ...typeof sessions];
    let waiting: Promise<unknown> = Promise.resolve();
    await here.sql.begin(async (tx) => {
      await tx`select from sessions where id = ${busy.id} for update`;
      waiting = here.store.hot.rotate(use(busy, 0, later(1)));
      for (let counter = 0; counter < 10; counter++) {
        const rotations = await Promise.all([
          ...free.map((opened) => here.store.hot.rotate(use(opened, counter, later(counter)))),
          ...free.toReversed().map((opened) => other.hot.rotate(use(opened, counter, later(counter)))),
        ]);
        expect(tally(rotations.map((rotation) => rotation?.outcome))).toEqual({ rotated: 8, retried: 8 });
      }
    });
    expect(await waiting).toMatchObject({ outcome: 'rotated' });
    await replica.close();
  });

  it('[V7.4.1] look up fifty tokens at once, each with its own session at its own time', async () => {
    const sessions = await Promise.all(Array.from({ length: 10 }, fresh));
    const found = await fifty(async (index) => {
      const opened = sessions[index % 10] as (typeof sessions)[0];
      const isLate = index >= 40;
      return { opened, isLate, live: await here.store.hot.authenticate(opened.id, isLate ? opened.idleEndAt : at) };
    });
    for (const { opened, isLate, live } of found)
      expect(live?.endedBecause === null ? [live.session.id, live.account.id] : [undefined, undefined]).toEqual(
        isLate ? [undefined, undefined] : [opened.id, opened.accountId],
      );
  });

  it('see what was committed before they were asked, however many ask', async () => {
    const opened = await fresh();
    const asking = fifty(() => here.store.hot.authenticate(opened.id, at));
    await here.store.transaction((tx) => tx.sessions.end(opened.accountId, opened.id, 'logout', at));
    expect(tally((await fifty(() => here.store.hot.authenticate(opened.id, at))).map((found) => found?.endedBecause ?? 'alive'))).toEqual({
      logout: 50,
    });
    await asking;
  });

  it('take one round trip together', async () => {
    const sessions = await Promise.all(Array.from({ length: 8 }, fresh));
    const wire = await wireTo(here.address);
    const database = openDatabase(wire.address, { poolSize: 1, prepare: true });
    const { hot } = postgresStore(database);
    const trips = async (flow: () => Promise<unknown>) => {
      await flow();
      wire.roundTrips();
      await flow();
      return wire.roundTrips();
    };
    try {
      let counter = 0;
      expect(await trips(() => Promise.all(sessions.map(({ id }) => hot.authenticate(id, at))))).toBe(1);
      const refresh = () => {
        counter++;
        return Promise.all(sessions.map((opened) => hot.rotate(use(opened, counter - 1, at))));
      };
      expect(await trips(refresh)).toBe(1);
      await until('the connection is quiet', async () => wire.roundTrips() === 0);
    } finally {
      await database.close();
      await wire.close();
    }
  });
});

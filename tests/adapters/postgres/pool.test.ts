import { randomUUID } from 'node:crypto';
import net from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DependencyDown } from '#application/ports/errors.ts';
import { type Database, openDatabase } from '#infrastructure/postgres/database.ts';
import { LONGEST_MS, TooLate } from '#infrastructure/postgres/deadline.ts';
import { until } from '#tests/support/until.ts';
import { openedForTests } from './opened.ts';
import { wireTo } from './wire.ts';

const here = openedForTests();
const opened: Database[] = [];
const open = (poolSize: number, address = here.address) => {
  const database = openDatabase(address, { poolSize, prepare: true });
  opened.push(database);
  return database;
};

afterEach(async () => {
  for (const database of opened.splice(0)) await database.close();
});

/** Asks `times` questions, `width` at once. */
async function ask({ sql, within }: Database, width: number, times: number): Promise<void> {
  let asked = 0;
  const worker = async () => {
    while (asked++ < times) await within(() => sql`select 1`);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** `number` pieces of work that wait for a lock, each on a connection of its own; `then` happens while they do. */
async function whileLocked(number: number, piece: () => Promise<unknown>, then: (all: Promise<unknown>) => Promise<void>): Promise<void> {
  let all: Promise<unknown> = Promise.resolve();
  await here.sql.begin(async (tx) => {
    await tx`lock table leases`;
    all = Promise.all(Array.from({ length: number }, piece));
    all.catch(() => {});
    await until('they wait', async () => {
      const waiting = await here.sql`select from pg_locks where relation = 'leases'::regclass and not granted`;
      return waiting.length === number;
    });
    await then(all);
  });
  await all;
}

/** The longest list that anything was looked for in meanwhile. */
async function longestSearched(work: () => Promise<unknown>): Promise<number> {
  const { indexOf } = Array.prototype;
  let longest = 0;
  Array.prototype.indexOf = function (this: unknown[], ...sought) {
    longest = Math.max(longest, this.length);
    return indexOf.apply(this, sought);
  };
  try {
    await work();
  } finally {
    Array.prototype.indexOf = indexOf;
  }
  return longest;
}

describe('a pool', () => {
  it.each([
    { load: 'a light load, which leaves connections free', width: 3 },
    { load: 'more at once than it has connections', width: 32 },
  ])('keeps no trace of what it has done, under $load: the thirty-thousandth statement costs what the first did', async ({ width }) => {
    const database = open(5);
    await ask(database, 4, 100); // not all connections are made
    const longest = await longestSearched(() => ask(database, width, 30_000));
    expect(longest).toBeGreaterThan(0);
    expect(longest).toBeLessThan(12_000);
  });

  it('gives each a connection of its own: none waits behind a slow one while another is free', async () => {
    const database = open(5);
    const look = () => database.within(() => database.sql`select from leases`);
    for (let times = 0; times < 3; times++) await Promise.all([look(), look(), look(), look(), look()]); // all of them know the statement
    await ask(database, 2, 9900);
    await whileLocked(3, look, async (slow) => {
      const others = ask(database, 8, 300).then(() => 'answered'); // the ten-thousandth is among them
      expect(await Promise.race([others, slow.catch(() => 'given up first')])).toBe('answered');
    });
  });

  it('has all its connections after ten thousand statements that one would do for', async () => {
    const database = open(5);
    await ask(database, 1, 11_000);
    await whileLocked(
      5,
      () => database.within(() => database.sql`select from leases`),
      async () => {},
    );
  });

  it('lets so many wait and no more: the others are told at once that it is busy, and all that waited are served', async () => {
    const database = open(10);
    const { sql, within } = database;
    await ask(database, 10, 100);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 2500 }, (_, number) => within(() => sql`select ${number}::int as number`)),
    );
    const refused = outcomes.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(490);
    for (const outcome of refused) expect(outcome).toMatchObject({ reason: expect.any(DependencyDown) });
    const served = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value[0]?.['number']] : []));
    expect(served).toEqual(Array.from({ length: 2010 }, (_, number) => number));
    expect(database.load()).toMatchObject({ running: 0, failures: 490 });
    await ask(database, 8, 50);
  });

  it('says that the server is there however long the line is', async () => {
    const database = open(2);
    const { sql, within } = database;
    const crowd = Promise.allSettled(Array.from({ length: 2500 }, () => within(() => sql`select 1`)));
    expect(await database.check()).toBe('up');
    await crowd;
  });

  it.each(['reset', 'fin'] as const)(
    '[V16.5.3] by %s: what is sent while its connection breaks is done or refused at once, and takes no answer that is not its own',
    async (how) => {
      const wire = await wireTo(here.address);
      const holder = randomUUID();
      const strange: unknown[] = [];
      for (let round = 0; round < 8; round++) {
        const made = vi.spyOn(net.Socket.prototype, 'connect');
        const database = open(2, wire.address);
        const { sql, within, transaction } = database;
        await Promise.all([within(() => sql`select 1`), within(() => sql`select pg_sleep(0.001)`)]);
        const sockets = (made.mock.contexts as net.Socket[]).filter(
          ({ remotePort }) => String(remotePort) === new URL(wire.address.url).port,
        );
        made.mockRestore();
        expect(sockets).toHaveLength(2);

        const asked: Promise<unknown>[] = [];
        const told = (error: unknown) =>
          error instanceof DependencyDown ? (error.cause instanceof TooLate ? 'too late' : 'refused') : error;
        const look = (number: number) =>
          within(() => sql`select ${number}::int as number /* ${sql.unsafe('what is long is written at once '.repeat(40))} */`).then(
            ([row]) => (row?.['number'] === number ? 'done' : { answered: row }),
            told,
          );
        const write = (number: number) =>
          transaction(async (tx) => {
            await tx`insert into leases values (${`round ${round}, ${number}`}, ${holder}, now())`;
            throw new RangeError('rolled back');
          }).catch((error) => (error instanceof RangeError ? 'done' : told(error)));
        // Between the 'error' and the 'close' of the last socket, or of each; then once more.
        const ask = (number: number) => void asked.push(round % 2 === number % 2 ? look(number) : write(number));
        let broken = 0;
        for (const socket of sockets)
          socket.once(how === 'reset' ? 'error' : 'end', () => {
            broken++;
            if (broken === sockets.length || round % 4 < 2) ask(broken);
          });
        wire.cut(how);
        await until('both are closed', () => sockets.every(({ closed }) => closed));
        for (let turn = 3; turn < 7; turn++) ask(turn);
        const sentAtMs = performance.now();
        for (const outcome of await Promise.all(asked)) if (outcome !== 'done' && outcome !== 'refused') strange.push({ round, outcome });
        if (performance.now() - sentAtMs > LONGEST_MS / 2) strange.push({ round, outcome: 'waited in vain' });
        await database.close();
      }
      expect(strange).toEqual([]);
      expect(await here.sql`select job from leases where holder = ${holder}`).toEqual([]);
      await wire.close();
    },
  );

  it('gives whole answers after one that failed in the middle', async () => {
    const { sql, within } = open(1);
    const broken = within(() => sql`select 1 / (3 - number) from generate_series(1, ${5}::int) as number`);
    await expect(broken).rejects.toThrow('division by zero');
    const [row] = await within(() => sql`select 42 as answer`);
    expect(row).toEqual({ answer: 42 });
  });

  it('begins nothing for whoever was told that it failed while it waited', async () => {
    const wire = await wireTo(here.address);
    const database = open(1, wire.address);
    const { sql, within } = database;
    await ask(database, 1, 10);
    wire.freeze('all');
    let begun = 0;
    const hung = within(() => sql`select 1`);
    const waiting = within(async () => {
      begun++;
      return await sql`select 1`;
    });
    for (const outcome of await Promise.allSettled([hung, waiting])) expect(outcome).toMatchObject({ reason: expect.any(DependencyDown) });
    wire.thaw();
    await until('the server answers again', () =>
      ask(database, 1, 1).then(
        () => true,
        () => false,
      ),
    );
    await ask(database, 3, 50); // whoever waited longer would have had a turn
    expect(begun).toBe(0);
    await database.close();
    await wire.close();
  });
});

import { beforeEach, describe, expect, it } from 'vitest';
import { after } from '#domain/lifetimes.ts';
import { openedForTests } from './opened.ts';
import { account, fifty, mail } from './records.ts';

const here = openedForTests();
const at = new Date();
const later = (seconds: number) => after(at, seconds);

let owner: Awaited<ReturnType<typeof account>>;
beforeEach(async () => {
  owner = await account(here.sql, at);
});

async function enqueue(when = at) {
  const message = mail(when);
  await here.store.transaction((tx) => tx.outbox.enqueue(owner.id, message, when));
  return message;
}
const stored = async () => (await here.sql`select sealed, sent_at, failed_at, provider_id, last_error, attempts from outbox`)[0];

describe('the outbox', () => {
  it('gives out a message with what was put in', async () => {
    const message = await enqueue();
    expect(await here.outbox.claim(10, 60, at)).toEqual([{ ...message, recipient: owner.email.given, attempts: 1 }]);
  });

  it('[V15.4.2] gives each message to one of many workers', async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 60; i++) ids.add((await enqueue()).id);
    const claims = (await fifty(() => here.outbox.claim(3, 60, at))).flat();
    expect(claims).toHaveLength(60);
    expect(new Set(claims.map(({ id }) => id))).toEqual(ids);
  });

  it('gives the oldest due ones first, and none that are not due', async () => {
    for (const seconds of [3, 1, 2, 100]) await enqueue(later(seconds));
    const claimed = await here.outbox.claim(2, 60, later(10));
    const wanted = await here.sql`select id from outbox order by created_at limit 2`;
    expect(new Set(claimed.map(({ id }) => id))).toEqual(new Set(wanted.map(({ id }) => id)));
    expect(await here.outbox.claim(10, 60, later(10))).toHaveLength(1);
  });

  it('gives a message to another worker when the first one did not answer for it in time', async () => {
    await enqueue();
    expect(await here.outbox.claim(10, 60, at)).toHaveLength(1);
    expect(await here.outbox.claim(10, 60, later(59.999))).toHaveLength(0);
    expect(await here.outbox.claim(10, 60, later(60))).toMatchObject([{ attempts: 2 }]);
  });

  it('[V14.2.4] erases what a message said once it was sent', async () => {
    const { id } = await enqueue();
    await here.outbox.claim(10, 60, at);
    await here.outbox.markSent(id, 'provider-1', later(1));
    expect(await stored()).toMatchObject({ sealed: null, sent_at: later(1), provider_id: 'provider-1' });
    expect(await here.outbox.claim(10, 60, later(3600))).toEqual([]);
  });

  it('tries again when it is told to, and gives up when it is told to, erasing it', async () => {
    const { id } = await enqueue();
    await here.outbox.claim(10, 60, at);
    await here.outbox.markFailed(id, `the provider said \0 no ${'x'.repeat(1000)}`, later(30), later(1));
    expect(await here.outbox.claim(10, 60, later(29))).toEqual([]);
    expect(await here.outbox.claim(10, 60, later(30))).toMatchObject([{ attempts: 2 }]);
    await here.outbox.markFailed(id, 'no again', null, later(31));
    expect(await stored()).toMatchObject({ sealed: null, failed_at: later(31), last_error: 'no again' });
    expect(await here.outbox.claim(10, 60, later(7200))).toEqual([]);
  });

  it('lets a worker that comes too late change nothing about a message that another one sent', async () => {
    const { id } = await enqueue();
    await here.outbox.claim(10, 60, at);
    await here.outbox.claim(10, 60, later(61));
    await here.outbox.markSent(id, 'provider-2', later(62));
    await here.outbox.markFailed(id, 'late', null, later(63));
    await here.outbox.markSent(id, 'provider-1', later(64));
    expect(await stored()).toMatchObject({ sent_at: later(62), failed_at: null, provider_id: 'provider-2', last_error: null });
  });

  it('tells how many wait and for how long', async () => {
    expect(await here.outbox.backlog(at)).toEqual({ waiting: 0, oldestSeconds: 0 });
    const { id } = await enqueue();
    await enqueue(later(20));
    expect(await here.outbox.backlog(later(50))).toEqual({ waiting: 2, oldestSeconds: 50 });
    await here.outbox.markSent(id, null, later(50));
    expect(await here.outbox.backlog(later(50))).toEqual({ waiting: 1, oldestSeconds: 30 });
  });
});

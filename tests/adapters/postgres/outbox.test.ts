import { beforeEach, describe, expect, it } from 'vitest';
import type { DeliveryFailure } from '#application/ports/outbox.ts';
import { after } from '#domain/lifetimes.ts';
import type { PhoneNumber } from '#domain/phone.ts';
import { openedForTests } from './opened.ts';
import { account, fifty, mail } from './records.ts';

const here = openedForTests();
const NONE = { id: '', attempts: 0 };
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
const claim = (limit: number, when = at) => here.outbox.claim({ email: limit, sms: limit }, after(when, 60), when);
const LATE: DeliveryFailure = { kind: 'expired', reason: 'late', replyCode: null };
const NO: DeliveryFailure = { kind: 'bounced', reason: 'nobody of that name', replyCode: '550 5.1.1' };
const stored = async () =>
  (await here.sql`select sealed, sent_at, failed_at, provider_id, failure, reply_code, last_error, attempts from outbox`)[0];

describe('the outbox', () => {
  it('gives out a message with what was put in', async () => {
    const message = await enqueue();
    expect(await claim(10, at)).toEqual([{ ...message, recipient: owner.email.given, attempts: 1 }]);
  });

  it('[V15.4.2] gives each message to one of many workers', async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 60; i++) ids.add((await enqueue()).id);
    const claims = (await fifty(() => claim(3, at))).flat();
    expect(claims).toHaveLength(60);
    expect(new Set(claims.map(({ id }) => id))).toEqual(ids);
  });

  it('gives the oldest due ones first, and none that are not due', async () => {
    for (const seconds of [103, 101, 102, 200]) {
      await enqueue();
      for (const claimed of await claim(1)) await here.outbox.markFailed(claimed, LATE, later(seconds), at);
    }
    const claimed = await claim(2, later(110));
    const wanted = await here.sql`select id from outbox where next_attempt_at > ${later(110)} order by next_attempt_at limit 2`;
    expect(new Set(claimed.map(({ id }) => id))).toEqual(new Set(wanted.map(({ id }) => id)));
    expect(await claim(10, later(110))).toHaveLength(1);
  });

  it('lets no mail wait for a clock: one that was ahead when it was written, or is behind when it is due', async () => {
    const message = await enqueue(later(3600));
    expect(await claim(10, later(-3600))).toMatchObject([{ id: message.id }]);
    expect(await claim(10, later(-3600))).toEqual([]); // held all the same
    expect(await claim(10, later(120))).toHaveLength(1);
  });

  it('gives a message to another worker when the first one did not answer for it in time', async () => {
    await enqueue();
    expect(await claim(10, at)).toHaveLength(1);
    expect(await claim(10, later(59.999))).toHaveLength(0);
    expect(await claim(10, later(60))).toMatchObject([{ attempts: 2 }]);
  });

  it('[V14.2.4] erases what a message said once it was sent', async () => {
    const { id } = await enqueue();
    await claim(10, at);
    await here.outbox.markSent(id, 'provider-1', later(1));
    expect(await stored()).toMatchObject({ sealed: null, sent_at: later(1), provider_id: 'provider-1' });
    expect(await claim(10, later(3600))).toEqual([]);
  });

  it('tries again when it is told to, and keeps what the provider said as far as it helps', async () => {
    await enqueue();
    const [first] = await claim(10);
    await here.outbox.markFailed(first ?? NONE, { ...LATE, reason: `the provider said \0 no ${'x'.repeat(1000)}` }, later(30), later(1));
    expect(await stored()).toMatchObject({ last_error: expect.stringMatching(/^the provider said {2}no x{400}/), failed_at: null });
    expect(await claim(10, later(29))).toEqual([]);
    expect(await claim(10, later(30))).toMatchObject([{ attempts: 2 }]);
  });

  it('keeps a dead letter readable as long as what it carries is good, and no longer', async () => {
    const { expiresAt, sealed } = await enqueue();
    const [first] = await claim(10);
    await here.outbox.markFailed(first ?? NONE, NO, null, later(31));
    const dead = { failed_at: later(31), failure: 'bounced', reply_code: '550 5.1.1', last_error: 'nobody of that name' };
    expect(await stored()).toMatchObject({ ...dead, sealed });
    expect(await claim(10, later(7200))).toEqual([]);
    await here.outbox.tidy(at, after(expiresAt, -1));
    expect(await stored()).toMatchObject({ sealed });
    await here.outbox.tidy(at, expiresAt);
    expect(await stored()).toMatchObject({ ...dead, sealed: null });
  });

  it('[V14.2.4] erases at once what has expired, and remembers what stood in its way', async () => {
    const { expiresAt } = await enqueue();
    const [first] = await claim(10);
    await here.outbox.markFailed(first ?? NONE, { ...LATE, reason: 'no connection' }, later(1), at);
    const [second] = await claim(10, expiresAt);
    await here.outbox.markFailed(second ?? NONE, LATE, null, expiresAt);
    expect(await stored()).toMatchObject({ sealed: null, failed_at: expiresAt, failure: 'expired', last_error: 'no connection' });
  });

  it('lets a worker whose lease ran out say nothing about the attempt of the next one', async () => {
    await enqueue();
    const [slow] = await claim(10);
    await claim(10, later(60));
    await here.outbox.markFailed(slow ?? NONE, NO, null, later(61));
    await here.outbox.markFailed(slow ?? NONE, LATE, later(61), later(61));
    expect(await stored()).toMatchObject({ failed_at: null, last_error: null });
    expect(await claim(10, later(119))).toEqual([]);
  });

  it('gives out mail and SMS apart: as many of each as there is room for', async () => {
    for (let i = 0; i < 3; i++) await enqueue();
    const sms = { ...mail(at), kind: 'sms' as const };
    await here.store.transaction((tx) => tx.outbox.enqueue(owner.id, sms, later(1), { recipient: '+4915112345678' as PhoneNumber }));
    const kinds = async (email: number, texts: number) =>
      (await here.outbox.claim({ email, sms: texts }, later(62), later(2))).map(({ kind }) => kind).sort();
    expect(await kinds(0, 5)).toEqual(['sms']);
    expect(await kinds(2, 0)).toEqual(['email', 'email']);
    expect(await kinds(5, 5)).toEqual(['email']);
  });

  it('keeps a message that waits for its turn until that comes', async () => {
    const minute = { afterSeconds: 60 };
    await here.store.transaction((tx) => tx.outbox.enqueue(owner.id, mail(at), at, minute));
    expect(await claim(10, at)).toEqual([]);
    expect(await claim(10, later(61))).toHaveLength(1);
  });

  it('forgets what has been over for long enough, and only that', async () => {
    const [sent, dead] = [await enqueue(), await enqueue(later(1))];
    await enqueue(later(2));
    const claimed = await claim(2, later(1));
    await here.outbox.markSent(sent.id, null, later(10));
    await here.outbox.markFailed(claimed.find(({ id }) => id === dead.id) ?? NONE, NO, null, later(20));
    const left = async () => (await here.sql`select id from outbox`).length;
    await here.outbox.tidy(at, later(30));
    expect(await left()).toBe(3);
    await here.outbox.tidy(later(1), later(30));
    expect(await left()).toBe(2);
    await here.outbox.tidy(later(100_000), later(30));
    expect(await left()).toBe(1);
  });

  it('forgets all of that at once, however much there is', async () => {
    const { id } = await enqueue();
    await claim(1);
    await here.outbox.markFailed({ id, attempts: 1 }, NO, null, at);
    const copies = (createdAt: Date) => here.sql`
      insert into outbox (id, kind, account_id, recipient, template, sealed, created_at, expires_at, next_attempt_at, attempts, failed_at)
      select gen_random_uuid(), kind, account_id, recipient, template, sealed, ${createdAt}, expires_at, next_attempt_at, attempts, failed_at
      from outbox, generate_series(1, 2500) where id = ${id}`;
    await copies(at);
    await copies(later(-10));
    await here.outbox.tidy(at, later(100_000));
    expect(await here.sql`select sealed is null as erased, count(*)::int from outbox group by 1`).toEqual([{ erased: true, count: 2501 }]);
  });

  it('lets a worker that comes too late change nothing about a message that another one sent', async () => {
    const { id } = await enqueue();
    await claim(10, at);
    await claim(10, later(61));
    await here.outbox.markSent(id, 'provider-2', later(62));
    await here.outbox.markFailed({ id, attempts: 2 }, NO, null, later(63));
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

import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { deliverMessages } from '#application/deliver-messages.ts';
import { DependencyDown, NotTaken } from '#application/ports/errors.ts';
import type { Outbox, OutboxMessage } from '#application/ports/outbox.ts';
import type { Delivery } from '#application/ports/services.ts';
import { after } from '#domain/lifetimes.ts';
import { sealingCourier } from '#infrastructure/delivery/courier.ts';
import { type Dispatcher, PLACES, startDispatcher } from '#infrastructure/delivery/dispatcher.ts';
import { openDesk } from '#infrastructure/postgres/outbox-desk.ts';
import { openedForTests } from '#tests/adapters/postgres/opened.ts';
import { account } from '#tests/adapters/postgres/records.ts';
import { testClock } from '#tests/support/clock.ts';
import { until } from '#tests/support/until.ts';

/** Workers on a real outbox; the provider is ours to play. */

const here = openedForTests();
const KEY = randomBytes(32);
let clock = testClock();
let owner: Awaited<ReturnType<typeof account>>;
const running: Dispatcher[] = [];
beforeEach(async () => {
  clock = testClock();
  owner = await account(here.sql, clock.now());
  return async () => {
    await Promise.all(running.splice(0).map((worker) => worker.stop()));
  };
});

const courier = (key: Buffer<ArrayBuffer> = KEY) => sealingCourier(key, () => {});

async function enqueue(
  text = 'hello',
  { kind = 'email', ttlSeconds = 3600, key = KEY }: Partial<{ kind: 'email' | 'sms'; ttlSeconds: number; key: Buffer<ArrayBuffer> }> = {},
) {
  const expiresAt = after(clock.now(), ttlSeconds);
  const message: OutboxMessage =
    kind === 'sms'
      ? courier(key).sealSms('sms-code', text, expiresAt)
      : courier(key).seal('a-test', { subject: 's', text, html: '' }, expiresAt);
  await here.store.transaction((tx) => tx.outbox.enqueue(owner.id, message, clock.now()));
  return message.id;
}

function work(send: Delivery['send'], outbox: Outbox = here.outbox) {
  return deliverMessages({ outbox, delivery: { send }, unseal: courier().unseal, clock });
}

function worker(send: Delivery['send'], outbox?: Outbox, onError: (error: unknown) => void = (error) => expect.fail(String(error))) {
  const started = startDispatcher(work(send, outbox), onError);
  running.push(started);
  started.wake();
  return started;
}

/** A provider that takes it and gives no id. */
function noted(sent: string[], what: string): null {
  sent.push(what);
  return null;
}

const row = async (id: string) => (await here.sql`select * from outbox where id = ${id}`)[0];
const waiting = async () => (await here.outbox.backlog(clock.now())).waiting;
const allSent = () => until('all is sent', async () => (await waiting()) === 0);

describe('workers', () => {
  it('[V15.4.2] in any number send each message once', async () => {
    const sent: string[] = [];
    const ids = await Promise.all(Array.from({ length: 60 }, (_, i) => enqueue(`mail ${i}`)));
    for (let i = 0; i < 5; i++) worker(async ({ id }) => noted(sent, id));
    await allSent();
    expect(sent.sort()).toEqual(ids.sort());
  });

  it('let a slow message hold up no other, and a mail server that hangs no SMS', async () => {
    const held = Promise.withResolvers<null>();
    const sent: string[] = [];
    for (let i = 0; i < PLACES.email; i++) await enqueue(i === 0 ? 'slow' : 'quick');
    await enqueue('quick');
    const one = worker(({ text }) => (text === 'slow' ? held.promise : Promise.resolve(noted(sent, text))));
    await until('all but the slow one are sent', async () => (await waiting()) === 1);
    for (let i = 0; i < PLACES.email; i++) await enqueue('slow');
    one.wake();
    await enqueue('code', { kind: 'sms' });
    one.wake();
    await until('the SMS is sent', () => sent.includes('code'));
    held.resolve(null);
    await allSent();
  });

  it('send no more at once than they have places', async () => {
    let [now, most] = [0, 0];
    for (let i = 0; i < 30; i++) await enqueue();
    worker(async () => {
      most = Math.max(most, ++now);
      await new Promise(setImmediate);
      now--;
      return null;
    });
    await allSent();
    expect(most).toBe(PLACES.email);
  });

  it('bury a message that cannot be read, and send the others', async () => {
    const poisoned = await enqueue('sealed with another key', { key: randomBytes(32) });
    const sent: string[] = [];
    await enqueue('good');
    worker(async ({ text }) => noted(sent, text));
    await allSent();
    expect(sent).toEqual(['good']);
    expect(await row(poisoned)).toMatchObject({ failure: 'unreadable', sealed: expect.any(Buffer) });
  });

  it('send nothing that has expired: the link in it is dead', async () => {
    const late = await enqueue('late', { ttlSeconds: 60 });
    clock.advance(60);
    worker(() => expect.fail('it was sent'));
    await allSent();
    expect(await row(late)).toMatchObject({ failure: 'expired', sealed: null });
  });

  it('bury what is refused for good, with what the provider said; it can be sent again until it expires', async () => {
    const id = await enqueue('hello');
    let isKnown = false;
    const sent: string[] = [];
    const one = worker(async ({ text }) => {
      if (!isKnown) throw new NotTaken('nobody of that name', { isPermanent: true, replyCode: '550 5.1.1' });
      return noted(sent, text);
    });
    await allSent();
    expect(await row(id)).toMatchObject({ failure: 'bounced', reply_code: '550 5.1.1', last_error: 'nobody of that name', attempts: 1 });
    const desk = openDesk(here.address);
    try {
      expect(await desk.list('dead', 10, clock.now())).toMatchObject([{ id, replayable: true, recipient: owner.email.given }]);
      expect(JSON.stringify(await desk.list(null, 10, clock.now()))).not.toContain('sealed');
      isKnown = true;
      const replays = await Promise.all([desk.replay([id], clock.now()), desk.replay(null, clock.now())]);
      expect(replays.flat()).toEqual([id]);
      one.wake();
      await allSent();
      expect(sent).toEqual(['hello']);
      expect(await desk.replay([id], clock.now())).toEqual([]); // it was sent
    } finally {
      await desk.close();
    }
  });

  it('cannot be told to send a dead letter whose link has expired', async () => {
    await enqueue('hello', { ttlSeconds: 60 });
    worker(() => Promise.reject(new NotTaken('no', { isPermanent: true, replyCode: null })));
    await allSent();
    const desk = openDesk(here.address);
    expect(await desk.replay(null, after(clock.now(), 60))).toEqual([]);
    await desk.close();
  });

  it('try again when nobody answers, as late as the provider asks', async () => {
    const id = await enqueue('hello');
    const failing = work(() => Promise.reject(new NotTaken('busy', { isPermanent: false, replyCode: '429', retryAfterSeconds: 30 })));
    for (const message of await failing.claim(PLACES)) await failing.send(message, new AbortController().signal);
    const waits = await row(id);
    expect(waits).toMatchObject({ failed_at: null, last_error: 'busy', reply_code: '429' });
    expect(waits?.['next_attempt_at'].getTime() - clock.now().getTime()).toBe(30_000);
  });
});

describe('a claim whose answer is lost', () => {
  it('though the database made it, or makes it yet: its messages are sent soon, not when its lease is over', async () => {
    const sent: string[] = [];
    const errors: unknown[] = [];
    const down = new DependencyDown('postgres');
    const late: (() => Promise<unknown>)[] = [];
    let claims = 0;
    const flaky: Outbox = {
      ...here.outbox,
      async claim(...asked) {
        claims++;
        if (claims > 2) return await here.outbox.claim(...asked);
        if (claims === 1) await here.outbox.claim(...asked);
        else late.push(() => here.outbox.claim(...asked)); // by a frozen server, when it thaws
        throw down;
      },
    };
    await enqueue('first');
    const one = worker(
      async ({ text }) => noted(sent, text),
      flaky,
      (error) => errors.push(error),
    );
    await until('the first claim is lost', () => errors.length === 1);
    one.wake();
    await until('the second claim is lost', () => errors.length === 2);
    await enqueue('second');
    for (const claim of late) await claim();
    one.wake();
    await allSent();
    expect(sent.sort()).toEqual(['first', 'second']);
    expect(errors).toEqual([down, down]);
  });

  it('takes nothing from a worker that holds its messages', async () => {
    const id = await enqueue();
    const [holder, other] = [work(async () => 'mine'), work(async () => 'not mine')];
    const flaky = work(async () => null, { ...here.outbox, claim: () => Promise.reject(new DependencyDown('postgres')) });
    const [held] = await holder.claim(PLACES);
    for (let lost = 0; lost < 3; lost++) await expect(flaky.claim(PLACES)).rejects.toThrow(DependencyDown);
    expect(await other.claim(PLACES)).toEqual([]);
    if (held) await holder.send(held, new AbortController().signal);
    expect(await row(id)).toMatchObject({ provider_id: 'mine', attempts: 1 });
  });
});

describe('a message that was sent', () => {
  it('and could not be marked is marked before anything else is claimed, not sent again, though its lease ran out', async () => {
    const id = await enqueue('hello');
    let isAway = true;
    const down = new DependencyDown('postgres');
    const flaky: Outbox = {
      ...here.outbox,
      markSent: (...mark) => (isAway ? Promise.reject(down) : here.outbox.markSent(...mark)),
    };
    let times = 0;
    const errors: unknown[] = [];
    const one = worker(
      async () => String(++times),
      flaky,
      (error) => errors.push(error),
    );
    await until('it is sent and not marked', () => times === 1 && errors.length > 0);
    clock.advance(120);
    isAway = false;
    one.wake();
    await allSent();
    expect(times).toBe(1);
    expect(await row(id)).toMatchObject({ provider_id: '1', sealed: null });
    expect(new Set(errors)).toEqual(new Set([down]));
  });

  it('is marked whatever the provider calls it', async () => {
    const id = await enqueue();
    worker(async () => `\0\ud800${'x'.repeat(1000)}`);
    await allSent();
    expect((await row(id))?.['provider_id']).toMatch(/^\ufffdx+$/);
  });

  it('is told apart by its lease: a worker that was frozen changes nothing about the next attempt', async () => {
    const id = await enqueue('hello');
    const [frozen, next] = [work(() => Promise.reject(new Error('broken off'))), work(async () => 'second')];
    const [claimed] = await frozen.claim(PLACES);
    clock.advance(119);
    expect(await next.claim(PLACES)).toEqual([]);
    clock.advance(1);
    const [again] = await next.claim(PLACES);
    if (!claimed || !again) throw new Error('it was not claimed twice');
    await frozen.send(claimed, new AbortController().signal);
    expect(await row(id)).toMatchObject({ attempts: 2, last_error: null });
    await next.send(again, new AbortController().signal);
    expect(await row(id)).toMatchObject({ provider_id: 'second' });
  });
});

describe('the end of a worker', () => {
  it('waits for what is being sent, and claims nothing more', async () => {
    const begun = Promise.withResolvers<void>();
    const held = Promise.withResolvers<null>();
    for (let i = 0; i < PLACES.email + 1; i++) await enqueue();
    const one = worker(() => {
      begun.resolve();
      return held.promise;
    });
    await begun.promise;
    const stopped = one.stop();
    held.resolve(null);
    await stopped;
    expect(await waiting()).toBe(1);
  });

  it('breaks off what takes too long, and leaves it to another worker', async () => {
    const id = await enqueue();
    const begun = Promise.withResolvers<void>();
    const one = worker((_message, signal) => {
      begun.resolve();
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    });
    await begun.promise;
    await one.stop();
    expect(await row(id)).toMatchObject({ sent_at: null, failed_at: null, last_error: 'the service stops' });
  });
});

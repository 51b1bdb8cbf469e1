import { describe, expect, it } from 'vitest';
import type { HotPaths } from '#application/ports/hot-paths.ts';
import { after } from '#domain/lifetimes.ts';
import { openedForTests } from './opened.ts';
import { account, auditTally, email, event, fifty, HOUR, hash, mail, registration, ticket } from './records.ts';

const here = openedForTests();
const at = new Date();
const later = (seconds: number) => after(at, seconds);

type Link = Parameters<HotPaths['sendLink']>[0];

/** A reset link unless it says otherwise. */
async function send(to: { canonical: string }, more: Partial<Link> = {}, when = at): Promise<{ sent: boolean; link: Link }> {
  const link: Link = {
    email: email(to.canonical),
    to: 'active',
    ticket: ticket(when, 'reset-password', HOUR),
    mail: mail(when, 'reset-password'),
    event: event('PASSWORD_RESET_REQUESTED', when),
    at: when,
    ...more,
  };
  return { sent: await here.store.hot.sendLink(link), link };
}
const redeem = (secretHash: Buffer, when: Date, purpose: 'reset-password' | 'verify-email' = 'reset-password') =>
  here.store.transaction((tx) => tx.tickets.redeem(purpose, secretHash, when));

describe('a ticket', () => {
  it('[V2.3.4] [V15.4.2] is redeemed by exactly one of fifty at once', async () => {
    const known = await account(here.sql, at);
    const { link } = await send(known.email);
    const got = await fifty(() => redeem(link.ticket.secretHash, later(1)));
    expect(got.filter((one) => one !== null)).toEqual([{ accountId: known.id, pending: null }]);
  });

  it('is nothing to another purpose, after its end, or once cancelled', async () => {
    const known = await account(here.sql, at);
    const { link } = await send(known.email);
    expect(await redeem(link.ticket.secretHash, at, 'verify-email')).toBeNull();
    expect(await redeem(link.ticket.secretHash, later(HOUR))).toBeNull();
    expect(await redeem(hash(), at)).toBeNull();
    await here.store.transaction((tx) => tx.tickets.cancelAll(known.id, 'verify-email', at));
    const find = () => here.store.read((records) => records.accounts.findByTicket('reset-password', link.ticket.secretHash, at));
    expect(await find()).toMatchObject({ id: known.id });
    await here.store.transaction((tx) => tx.tickets.cancelAll(known.id, 'reset-password', at));
    expect(await find()).toBeNull();
    expect(await redeem(link.ticket.secretHash, at)).toBeNull();
  });
});

describe('sending a link', () => {
  it('makes the ticket, the mail to the address on file and the event', async () => {
    const known = await account(here.sql, at);
    const { sent, link } = await send(known.email);
    expect(sent).toBe(true);
    expect(await here.sql`select recipient, sealed, account_id from outbox`).toEqual([
      { recipient: known.email.given, sealed: link.mail?.sealed, account_id: known.id },
    ]);
    expect(await here.sql`select type, account_id, details from audit_events`).toEqual([
      { type: 'PASSWORD_RESET_REQUESTED', account_id: known.id, details: { known: true } },
    ]);
  });

  it('[V6.3.8] to an unknown address only records that it was asked for', async () => {
    const { sent } = await send(email());
    expect(sent).toBe(false);
    expect(await here.sql`select from tickets`).toHaveLength(0);
    expect(await here.sql`select from outbox`).toHaveLength(0);
    expect(await here.sql`select account_id, details from audit_events`).toEqual([{ account_id: null, details: { known: false } }]);
  });

  it('records it for a recipient who had enough of them, and leaves the link that they have alone', async () => {
    const known = await account(here.sql, at);
    const { link } = await send(known.email);
    expect((await send(known.email, { mail: null })).sent).toBe(false);
    expect(await auditTally(here.sql)).toEqual({ PASSWORD_RESET_REQUESTED: 2 });
    expect(await redeem(link.ticket.secretHash, later(1))).not.toBeNull();
  });

  it('kills the older reset link', async () => {
    const known = await account(here.sql, at);
    const { link: older } = await send(known.email);
    const { link: newer } = await send(known.email, {}, later(1));
    expect(await redeem(older.ticket.secretHash, later(2))).toBeNull();
    expect(await redeem(newer.ticket.secretHash, later(2))).not.toBeNull();
  });

  it('goes to nobody who is suspended, and to confirm an address only to who has not', async () => {
    const known = await account(here.sql, at);
    const confirm = { to: 'unverified', ticket: ticket(at), mail: mail(at) } as const;
    expect((await send(known.email, confirm)).sent).toBe(false);
    await here.sql`update accounts set status = 'suspended'`;
    expect((await send(known.email)).sent).toBe(false);
    const asked = registration(at);
    await here.store.hot.register(asked);
    expect((await send(asked.email, { ...confirm, ticket: ticket(at) })).sent).toBe(true);
  });

  it('to confirm an address that several registered carries no password of theirs, and leaves their links alone', async () => {
    const address = email();
    await here.store.hot.register(registration(at, { email: address }));
    const asked = registration(later(1), { email: address, displayName: 'Second' });
    await here.store.hot.register(asked);
    const again = ticket(later(2));
    await send(address, { to: 'unverified', ticket: again, mail: mail(at), event: event('VERIFICATION_RESENT', at) }, later(2));
    const redeemed = await redeem(again.secretHash, later(3), 'verify-email');
    expect(redeemed?.pending).toEqual({ passwordHash: null, username: null, displayName: null });
    expect(await redeem(asked.ticket.secretHash, later(3), 'verify-email')).not.toBeNull();
  });
});

describe('setting a password', () => {
  it('proves the address when it came by mail, and only then', async () => {
    const asked = registration(at);
    await here.store.hot.register(asked);
    const set = (provesEmail: boolean, when: Date) =>
      here.store.transaction((tx) => tx.accounts.setPassword(asked.accountId, 'a new hash', when, { provesEmail }));
    expect(await set(false, later(1))).toMatchObject({ emailVerifiedAt: null });
    expect(await set(true, later(2))).toMatchObject({ emailVerifiedAt: later(2) });
    expect(await set(true, later(3))).toMatchObject({ emailVerifiedAt: later(2) });
  });

  it('[V15.4.2] replaces the hash that was seen for one of fifty at once', async () => {
    const known = await account(here.sql, at);
    const replaced = await fifty((i) =>
      here.store.transaction((tx) => tx.accounts.replacePassword(known.id, known.passwordHash, `hash ${i}`, at)),
    );
    expect(replaced.filter(Boolean)).toHaveLength(1);
  });
});

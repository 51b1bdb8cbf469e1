import type { ISql } from 'postgres';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type MailServer, mailServer } from '#tests/support/mail-server.ts';
import { newEmail, PASSWORD } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';
import { chance } from './support/chance.ts';
import { clientOf, type Reply } from './support/client.ts';
import { newLedger, newPerson, type PersonRecord } from './support/ledger.ts';
import { verbs } from './support/life.ts';
import { type Postbox, postbox } from './support/postbox.ts';
import { reconcile } from './support/reconcile.ts';
import { stored } from './support/stored.ts';

/** The reckoning itself: on a good day it finds nothing, and each loss that is planted it names. */

const NO_TOKENS = { mayHaveExpired: () => false, onToken: () => {} };
let service: TestService;
let mail: MailServer;
let post: Postbox;
const ledger = newLedger();
const [ada, bob] = [newPerson(newEmail(), PASSWORD), newPerson(newEmail(), PASSWORD)];

beforeAll(async () => {
  mail = await mailServer({ disabledCommands: ['STARTTLS', 'AUTH'] });
  const smtp = { EMAIL_PROVIDER: 'smtp', SMTP_HOST: 'localhost', SMTP_PORT: String(mail.port), SMTP_TLS: 'off' };
  service = await startService({
    settings: { ...smtp, EMAILS_FROM_EMAIL: 'no-reply@acme.example' },
    clock: { now: () => new Date(), advance() {} },
  });
  post = postbox(mail);
  const client = clientOf(service.origin);
  const life = { client, ledger, postbox: post, chance: chance(1), isEnding: () => false, isOver: () => false, ...NO_TOKENS };
  const does = verbs(life);
  const newest = (person: PersonRecord) => person.sessions.findLast(({ state }) => state === 'open') ?? expect.fail('no session');
  for (const person of [ada, bob]) {
    ledger.people.push(person);
    await does.register(person);
    await does.verify(person);
    await does.login(person);
    await does.refresh(person, newest(person));
    await does.refresh(person, newest(person));
  }
  await does.changePassword(ada, newest(ada), 'eleven loud trains over 2 Valleys!');
  await does.refresh(ada, newest(ada));
  await does.enrol(ada, newest(ada));
  await does.login(ada);
  await does.logout(ada, newest(ada));
  await does.reset(bob, 'seven slow clouds under 3 Towers!');
  await until('all mail is sent', async () => (await service.sql`select from outbox where sent_at is null`).length === 0);
  client.close();
}, 60_000);
afterAll(async () => {
  await service.stop();
  await mail.stop();
});

/** What is found once `plant` has been done to the database, which then is as it was. */
async function foundAfter(plant: (tx: ISql) => Promise<unknown>): Promise<string[]> {
  const undo = new Error('as it was');
  let found: string[] = [];
  await service.sql
    .begin(async (tx) => {
      await tx`set local session_replication_role = replica`; // else the audit trail refuses, and deletions take others along
      await plant(tx);
      found = await reconcile(ledger, await stored(tx), post.received());
      throw undo;
    })
    .catch((error) => {
      if (error !== undo) throw error;
    });
  return found;
}

it('finds nothing on a good day', async () => {
  expect(ledger.complaints).toEqual([]);
  expect(await reconcile(ledger, await stored(service.sql), post.received())).toEqual([]);
});

const open = () => ada.sessions.find(({ state }) => state === 'open')?.id ?? '';
const out = () => ada.sessions.find(({ state }) => state === 'ended')?.id ?? '';
const ofAda = (tx: ISql) => tx`(select id from accounts where email = ${ada.email})`;
const LOSSES: [what: string, plant: (tx: ISql) => Promise<unknown>, named: () => string][] = [
  ['an account', (tx) => tx`delete from accounts where email = ${ada.email}`, () => `${ada.email} registered, and there is no account`],
  ['a verification', (tx) => tx`update accounts set email_verified_at = null`, () => `${bob.email}: the verification is missing`],
  [
    'a new password',
    (tx) => tx`update accounts set password_hash = (select password_hash from accounts where email = ${bob.email})`,
    () => `${ada.email}: the password that was set is not the one that is stored`,
  ],
  [
    'a session',
    (tx) => tx`delete from sessions where id = ${open()}`,
    () => `the session ${open()} of ${ada.email} began, and is not there`,
  ],
  [
    'a refresh',
    (tx) => tx`update sessions set refresh_counter = refresh_counter - 1 where id = ${open()}`,
    () => `the session ${open()} of ${ada.email} was refreshed 1 times, stored are 0`,
  ],
  [
    'a sign-out',
    (tx) => tx`update sessions set revoked_at = null, revoked_reason = null where id = ${out()}`,
    () => `the session ${out()} of ${ada.email} was ended, and lives`,
  ],
  ['an authenticator app', (tx) => tx`delete from totp_authenticators`, () => `${ada.email}: the authenticator app is missing`],
  ['the use of a code', (tx) => tx`update recovery_codes set used_at = null`, () => `${ada.email}: 1 recovery codes were used, 0 are`],
  [
    'a request for a reset link',
    async (tx) => {
      await tx`delete from audit_events where type = 'PASSWORD_RESET_REQUESTED'`;
      await tx`delete from tickets where purpose = 'reset-password'`;
      await tx`delete from outbox where template = 'reset-password'`;
    },
    () => `${bob.email}: forgot-password was done 1 times, perhaps 0 more: 0 PASSWORD_RESET_REQUESTED`,
  ],
  [
    'an event',
    (tx) => tx`delete from audit_events where type = 'PASSWORD_RESET'`,
    () => `${bob.email}: reset-password was done 1 times, perhaps 0 more: 0 PASSWORD_RESET`,
  ],
];
it.each(LOSSES)('names %s that was acknowledged and is missing', async (_, plant, named) => {
  expect(await foundAfter(plant)).toContain(named());
});

const HALVES: [what: string, plant: (tx: ISql) => Promise<unknown>, named: () => string][] = [
  [
    'a session that ended by itself',
    (tx) => tx`update sessions set revoked_at = now(), revoked_reason = 'moved' where id = ${open()}`,
    () => `the session ${open()} of ${ada.email} ended by itself: moved`,
  ],
  [
    'a session without its event',
    (tx) => tx`delete from audit_events where session_id = ${open()} and type = 'LOGIN_SUCCEEDED'`,
    () => `the session ${open()} began without its event, or more than once: 0`,
  ],
  [
    'a change without its mail',
    (tx) => tx`delete from outbox where template = 'password-changed'`,
    () => `change of password of ${ada.email} by half: 1 PASSWORD_CHANGED, 0 mails`,
  ],
  [
    'a request for a reset link without its mail',
    (tx) => tx`delete from outbox where template = 'reset-password'`,
    () => `reset link of ${bob.email} by half: 1 PASSWORD_RESET_REQUESTED, 1 tickets, 0 mails`,
  ],
  [
    'a registration without its link',
    (tx) => tx`delete from tickets where purpose = 'verify-email' and account_id = ${ofAda(tx)}`,
    () => `registration of ${ada.email} by half: 1 events, 0 tickets, 1 mails`,
  ],
  [
    'a set of codes that is not whole',
    (tx) => tx`delete from recovery_codes where used_at is not null`,
    () => `${ada.email} has an app, and 9 recovery codes`,
  ],
  [
    'an event of nobody',
    (tx) => tx`delete from accounts where email = ${ada.email}`,
    () => 'the event PASSWORD_CHANGED tells of an account that is not there',
  ],
  [
    'an account that nobody asked for',
    (tx) => tx`update accounts set email = 'eve@example.com' where email = ${ada.email}`,
    () => 'nobody registered eve@example.com',
  ],
];
it.each(HALVES)('names %s', async (_, plant, named) => {
  expect(await foundAfter(plant)).toContain(named());
});

it('names an account whose registration was refused', async () => {
  const refused = { ...ledger, people: [{ ...ada, registered: 'refused' as const }, bob] };
  expect(await reconcile(refused, await stored(service.sql), post.received())).toContain(`${ada.email}: was refused, and has an account`);
});

it('names a mail that never came, and one that came of nothing', async () => {
  const [first, ...others] = post.received();
  const facts = await stored(service.sql);
  expect(await reconcile(ledger, facts, others)).toEqual([`the mail verify-email to ${first?.to} never came`]);
  const strange = { to: ada.email, id: 'nobody-wrote-it' };
  expect(await reconcile(ledger, facts, [...post.received(), strange])).toEqual([`a mail came to ${ada.email} that is not stored`]);
});

it('names a link that somebody was promised and waited for in vain, and none that came late', async () => {
  const accepted: Reply = { status: 202, code: '', body: {}, by: '', retryAfterSeconds: Number.NaN, ms: 1 };
  const promised = { ...newLedger(), people: ledger.people };
  const client = { ...clientOf(service.origin), post: async () => accepted };
  const empty: Postbox = { ...post, tokens: () => [] };
  const life = { client, postbox: empty, chance: chance(1), isEnding: () => true, isOver: () => true, ...NO_TOKENS };
  const facts = await stored(service.sql);
  await verbs({ ...life, ledger: promised }).reset(structuredClone(bob), 'two tall lamps beside 5 Doors!');
  expect(promised.awaited).toEqual([{ email: bob.email, page: 'reset-password', seen: 0 }]);
  expect(await reconcile(promised, facts, post.received())).toEqual([]);
  expect(
    await reconcile({ ...promised, awaited: [{ email: bob.email, page: 'reset-password', seen: 1 }] }, facts, post.received()),
  ).toEqual([`${bob.email} waited for the link reset-password, and it never came`]);
});

import { verify } from '@node-rs/argon2';
import { halves, sum } from './halves.ts';
import type { Ledger, Operation, PersonRecord, SessionRecord } from './ledger.ts';
import type { Stored, StoredAccount, StoredMail, StoredSession } from './stored.ts';

/**
 * Holds what people were told against what is stored and what was mailed.
 * @returns each difference in words; nothing when no acknowledged operation is missing, none that was refused is there, nothing was
 * written by half, and every mail came that is owed, and none else
 */
export async function reconcile({ people, awaited }: Ledger, facts: Stored, received: readonly Received[]): Promise<string[]> {
  const accounts = new Map(facts.accounts.map((account) => [account.email, account]));
  const sessions = new Map(facts.sessions.map((session) => [session.id, session]));
  const known = new Set(people.map(({ email }) => email));
  const strangers = facts.accounts.filter(({ email }) => !known.has(email)).map(({ email }) => `nobody registered ${email}`);
  const found = await Promise.all(people.map((person) => ofPerson(person, accounts.get(person.email), sessions)));
  return [...found.flat(), ...strangers, ...halves(facts), ...ofMails(facts.mails, received), ...ofAwaited(awaited, facts.mails, received)];
}

type Received = { to: string; id: string };

async function ofPerson(
  person: PersonRecord,
  account: StoredAccount | undefined,
  sessions: ReadonlyMap<string, StoredSession>,
): Promise<string[]> {
  const { email, registered, verified, totp, passwords } = person;
  if (!account) return registered === 'done' ? [`${email} registered, and there is no account`] : [];
  const found: string[] = [];
  const expect = (isSo: boolean, complaint: string) => isSo || found.push(`${email}: ${complaint}`);
  expect(registered !== 'refused', 'was refused, and has an account');
  expect(verified !== 'done' || account.isVerified, 'the verification is missing');
  expect(verified !== 'not-yet' || !account.isVerified, 'is verified without having asked');
  const isRight = await Promise.all(passwords.map((password) => verify(account.passwordHash, password)));
  expect(isRight.includes(true), 'the password that was set is not the one that is stored');
  expect(totp !== 'done' || account.activeTotp === 1, 'the authenticator app is missing');
  expect(totp !== 'none' || account.activeTotp === 0, 'has an authenticator app that nobody enrolled');

  const used = person.codes.filter(({ state }) => state === 'used').length;
  const perhapsUsed = person.codes.filter(({ state }) => state === 'in-doubt').length;
  expect(between(account.usedCodes, used, used + perhapsUsed), `${used} recovery codes were used, ${account.usedCodes} are`);
  for (const [operation, type] of COUNTED) {
    const { done = 0, inDoubt = 0 } = person.counts[operation] ?? {};
    const events = sum(account.events, type);
    expect(between(events, done, done + inDoubt), `${operation} was done ${done} times, perhaps ${inDoubt} more: ${events} ${type}`);
  }

  for (const session of person.sessions) found.push(...ofSession(person, session, account, sessions.get(session.id)));
  const inDoubt = (person.counts.login?.inDoubt ?? 0) + (person.counts['verify-mfa']?.inDoubt ?? 0);
  const all = [...sessions.values()].filter(({ accountId }) => accountId === account.id).length;
  expect(
    between(all, person.sessions.length, person.sessions.length + inDoubt),
    `${person.sessions.length} sessions began, ${all} are there`,
  );
  return found;
}

/** What leaves one event each time. A refresh that was retried leaves another. */
const COUNTED: readonly (readonly [Operation, string])[] = [
  ['refresh', 'TOKEN_REFRESHED'],
  ['change-password', 'PASSWORD_CHANGED'],
  ['forgot-password', 'PASSWORD_RESET_REQUESTED'],
  ['reset-password', 'PASSWORD_RESET'],
  ['activate', 'FACTOR_ENROLLED'],
  ['verify-mfa', 'RECOVERY_CODE_USED'],
];

function ofSession({ email }: PersonRecord, session: SessionRecord, account: StoredAccount, row: StoredSession | undefined): string[] {
  const name = `the session ${session.id} of ${email}`;
  if (!row) return [`${name} began, and is not there`];
  if (row.accountId !== account.id) return [`${name} belongs to somebody else`];
  if (session.state === 'ended') return row.endedBecause === null ? [`${name} was ended, and lives`] : [];
  if (session.state === 'lost') return [];
  if (row.endedBecause !== null) return [`${name} ended by itself: ${row.endedBecause}`];
  return row.counter === session.rotations ? [] : [`${name} was refreshed ${session.rotations} times, stored are ${row.counter}`];
}

/** Every mail that is stored came to its recipient, and none came that is not. Twice is once: the Message-ID is the same. */
function ofMails(mails: readonly StoredMail[], received: readonly Received[]): string[] {
  const came = new Map(received.map(({ id, to }) => [id, to]));
  const owed = new Set(mails.map(({ id }) => id));
  const missing = mails.flatMap(({ id, to, template, hasFailed }) => {
    if (hasFailed) return [`the mail ${template} to ${to} was given up`];
    return came.get(id) === to ? [] : [`the mail ${template} to ${to} never came`];
  });
  const unowed = received.filter(({ id }) => !owed.has(id)).map(({ to }) => `a mail came to ${to} that is not stored`);
  return [...missing, ...unowed];
}

/** Each link that somebody was promised, and had not got when the day was over, came at last: when the lease of a dead worker ended, say. */
function ofAwaited(awaited: Ledger['awaited'], mails: readonly StoredMail[], received: readonly Received[]): string[] {
  const templates = new Map(mails.map(({ id, template }) => [id, template]));
  return awaited.flatMap(({ email, page, seen }) => {
    const came = received.filter(({ to, id }) => to === email && templates.get(id) === page);
    return came.length > seen ? [] : [`${email} waited for the link ${page}, and it never came`];
  });
}

const between = (count: number, least: number, most: number) => count >= least && count <= most;

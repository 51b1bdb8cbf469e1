import { setTimeout as delay } from 'node:timers/promises';
import { totpCode } from '#tests/support/totp.ts';
import type { Chance } from './chance.ts';
import type { Body, Client, Reply } from './client.ts';
import { enter, type Ledger, type Operation, type PersonRecord, type SessionRecord } from './ledger.ts';
import type { Postbox } from './postbox.ts';

export type Life = {
  client: Client;
  ledger: Ledger;
  postbox: Postbox;
  chance: Chance;
  /** Nobody begins anything new any more; what was begun is asked about until it is answered, or `isOver`. */
  isEnding(): boolean;
  isOver(): boolean;
  /** Where a clock jumps access tokens end before their time. */
  mayHaveExpired(accessToken: string): boolean;
  /** Somebody was given this access token. */
  onToken(accessToken: string): void;
};

/** Between two tries of something that was not answered: clients are patient, yet within the grace of a refresh token. */
const RETRY_MS = 150;
const MAIL_POLL_MS = 30;
/** MAX_LOGIN_ATTEMPTS, if nobody sets it. */
const LOCKS_AFTER = 5;

/** An answer at last, and whether an earlier try of the same may have been done. */
type Answered = { reply: Reply; isRepeated: boolean };

/** What one person does, one thing after the other; each verb writes down what it was told. */
export function verbs({ client, ledger, postbox, chance, isOver, mayHaveExpired, onToken }: Life) {
  /** Asks until somebody answers. @returns null when time was up: it stays in doubt */
  async function ask(operation: Operation, person: PersonRecord, send: () => Promise<Reply>): Promise<Answered | null> {
    for (let isRepeated = false; ; isRepeated = true) {
      const sentAtMs = performance.now();
      const reply = await send();
      if (enter(ledger, operation, person, reply, sentAtMs) !== 'in-doubt') return { reply, isRepeated };
      if (isOver()) return null;
      await delay(RETRY_MS * chance.between(0.5, 1.5));
    }
  }
  const complain = (operation: Operation, person: PersonRecord, { status, code }: Reply, why = '') =>
    void ledger.complaints.push(`${operation} of ${person.email} got ${status} ${code}${why}`);

  const begin = ({ session_id, refresh_token, access_token }: Body): SessionRecord => {
    onToken(access_token ?? '');
    return { id: session_id ?? '', refreshToken: refresh_token ?? '', accessToken: access_token ?? '', rotations: 0, state: 'open' };
  };
  const endAll = (person: PersonRecord, state: 'ended' | 'lost', but?: SessionRecord) => {
    for (const session of person.sessions) if (session !== but && session.state !== 'ended') session.state = state;
  };

  /** The link of a mail that must come: what asked for it was acknowledged. @returns null when time was up, and writes it down */
  async function token(person: PersonRecord, page: 'verify-email' | 'reset-password', seen: number): Promise<string | null> {
    for (;;) {
      const newest = postbox.tokens(person.email, page);
      if (newest.length > seen) return newest.at(-1) ?? null;
      if (isOver()) {
        ledger.awaited.push({ email: person.email, page, seen });
        return null;
      }
      await delay(MAIL_POLL_MS);
    }
  }

  const self = {
    async register(person: PersonRecord): Promise<void> {
      const body = { email: person.email, password: person.passwords[0] };
      const answered = await ask('register', person, () => client.post('register', body));
      if (answered?.reply.status === 201) person.registered = 'done';
      else if (answered) complain('register', person, answered.reply);
    },

    async verify(person: PersonRecord): Promise<void> {
      const link = await token(person, 'verify-email', 0);
      if (link === null) return;
      person.verified = 'in-doubt';
      const answered = await ask('verify-email', person, () => client.post('verify-email', { token: link }));
      if (!answered) return;
      const { reply, isRepeated } = answered;
      // A link that is used up was used by the try before.
      if (reply.status === 200 || (isRepeated && reply.code === 'invalid-token')) person.verified = 'done';
      else complain('verify-email', person, reply);
    },

    /** @returns whether there is a session now */
    async login(person: PersonRecord): Promise<boolean> {
      for (;;) {
        const [password] = person.passwords;
        if (password === undefined) return false;
        const answered = await ask('login', person, () => client.post('login', { email: person.email, password }));
        if (!answered) return false;
        const { reply } = answered;
        if (reply.status === 401 && person.passwords.length > 1) {
          person.passwords.shift();
          continue;
        }
        if (reply.status !== 200) {
          complain('login', person, reply);
          return false;
        }
        person.passwords = [password];
        if (reply.body.status !== 'mfa_required') {
          person.sessions.push(begin(reply.body));
          return true;
        }
        if (person.totp === 'none') complain('login', person, reply, ', and no second factor was ever enrolled');
        const outcome = await self.secondFactor(person, reply.body.pre_auth_token ?? '');
        if (outcome !== 'again') return outcome === 'in';
      }
    },

    async secondFactor(person: PersonRecord, preAuthToken: string): Promise<'in' | 'out' | 'again'> {
      const code = person.codes.find(({ state }) => state === 'unused');
      if (!code) return 'out';
      const body = { pre_auth_token: preAuthToken, method: 'recovery_code', code: code.code };
      code.state = 'in-doubt';
      const answered = await ask('verify-mfa', person, () => client.post('verify-mfa', body));
      if (!answered) return 'out';
      const { reply, isRepeated } = answered;
      if (reply.status === 200) {
        code.state = 'used';
        person.sessions.push(begin(reply.body));
        return 'in';
      }
      // The sign-in that was not answered used ticket and code up, or nothing: the next one tells.
      if (!isRepeated) complain('verify-mfa', person, reply);
      return isRepeated ? 'again' : 'out';
    },

    async refresh(person: PersonRecord, session: SessionRecord): Promise<boolean> {
      const { refreshToken } = session;
      const answered = await ask('refresh', person, () => client.post('refresh', { refresh_token: refreshToken }));
      if (!answered) return false;
      const { reply } = answered;
      if (reply.status !== 200) {
        session.state = 'lost';
        complain('refresh', person, reply, ': signed out by accident');
        return false;
      }
      session.rotations++;
      session.refreshToken = reply.body.refresh_token ?? '';
      session.accessToken = reply.body.access_token ?? '';
      onToken(session.accessToken);
      return true;
    },

    /** With an access token that may have ended before its time: then a client refreshes, as it must, and asks again. */
    async signedIn(operation: Operation, person: PersonRecord, session: SessionRecord, send: (token: string) => Promise<Reply>) {
      const { accessToken } = session;
      const answered = await ask(operation, person, () => send(accessToken));
      const hasExpired = answered?.reply.code === 'unauthenticated' && mayHaveExpired(accessToken);
      if (!hasExpired || !(await self.refresh(person, session))) return answered;
      const again = await ask(operation, person, () => send(session.accessToken));
      return again && { ...again, isRepeated: again.isRepeated || answered.isRepeated };
    },

    async me(person: PersonRecord, session: SessionRecord): Promise<void> {
      const answered = await self.signedIn('me', person, session, (token) => client.get('me', token));
      if (answered && answered.reply.status !== 200) complain('me', person, answered.reply);
    },

    async changePassword(person: PersonRecord, session: SessionRecord, next: string): Promise<void> {
      const [current = ''] = person.passwords;
      const body = { current_password: current, new_password: next };
      person.passwords = [next, current];
      const answered = await self.signedIn('change-password', person, session, (token) => client.post('change-password', body, token));
      if (answered?.reply.status === 200) {
        person.passwords = [next];
        endAll(person, 'ended', session);
        Object.assign(session, begin(answered.reply.body));
        return;
      }
      // Done by the try before: its answer, and the tokens in it, are lost; the password is the new one. In doubt: a sign-in tells.
      if (answered?.isRepeated === false) {
        // Repeats of one that had been done were wrong passwords, and so many lock it.
        const wereManyWrong = (person.counts['change-password']?.inDoubt ?? 0) + 1 >= LOCKS_AFTER;
        if (answered.reply.code !== 'account-locked' || !wereManyWrong) complain('change-password', person, answered.reply);
        person.passwords = [current];
      } else endAll(person, 'lost');
    },

    async logout(person: PersonRecord, session: SessionRecord): Promise<void> {
      session.state = 'lost';
      const answered = await ask('logout', person, () => client.post('logout', { refresh_token: session.refreshToken }));
      if (!answered) return;
      if (answered.reply.status === 204) session.state = 'ended';
      else complain('logout', person, answered.reply);
    },

    /** An authenticator app, and the ten codes that come with it. */
    async enrol(person: PersonRecord, session: SessionRecord): Promise<void> {
      const setup = await self.signedIn('setup', person, session, (token) => client.post('mfa/setup', undefined, token));
      if (!setup) return;
      if (setup.reply.status !== 200) return complain('setup', person, setup.reply);
      person.totp = 'in-doubt';
      const code = totpCode(setup.reply.body.secret ?? '', new Date());
      const answered = await ask('activate', person, () => client.post('mfa/activate', { code }, session.accessToken));
      if (answered?.reply.status === 200) {
        person.totp = 'done';
        person.codes = (answered.reply.body.recovery_codes ?? []).map((one) => ({ code: one, state: 'unused' }));
      } else if (answered?.isRepeated && answered.reply.status === 409) {
        person.totp = 'done'; // by the try before, whose codes are lost
      } else if (answered && setup.isRepeated && ['invalid-code', 'conflict'].includes(answered.reply.code)) {
        return await self.enrol(person, session); // a set-up that was given up came late: another secret than the one that was shown
      } else if (answered) complain('activate', person, answered.reply);
    },

    async reset(person: PersonRecord, next: string): Promise<void> {
      const seen = postbox.tokens(person.email, 'reset-password').length;
      const asked = await ask('forgot-password', person, () => client.post('forgot-password', { email: person.email }));
      if (!asked) return;
      if (asked.reply.status !== 202) return complain('forgot-password', person, asked.reply);
      const link = await token(person, 'reset-password', seen);
      if (link === null) return;
      const before = person.passwords;
      person.passwords = [next, ...before];
      endAll(person, 'lost');
      const answered = await ask('reset-password', person, () => client.post('reset-password', { token: link, new_password: next }));
      if (!answered) return;
      if (answered.reply.status === 204) {
        person.passwords = [next];
        endAll(person, 'ended');
      } else if (answered.reply.code !== 'invalid-token' || !(answered.isRepeated || asked.isRepeated)) {
        // A link is dead when it was used by the try before, or when a second mail was asked for meanwhile.
        complain('reset-password', person, answered.reply);
      }
    },
  };
  return self;
}

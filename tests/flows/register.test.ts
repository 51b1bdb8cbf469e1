import { afterAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem, tally, visible } from '#tests/support/api.ts';
import { newEmail, newUsername, PASSWORD, registeredPerson, signIn, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { sql, mail } = service;
const api = service.api();
afterAll(service.stop);

const register = (body: object): Promise<Answer> => api.post('/api/auth/register', body);

async function accountsOf(email: string) {
  return await sql`select * from accounts where email_canonical = ${email.toLowerCase()}`;
}

describe('registering', () => {
  it('makes an account that waits for its address to be verified', async () => {
    const [email, username] = [newEmail(), newUsername()];
    const answer = await register({ email, username, password: PASSWORD, display_name: 'Ada L.' });
    expect(answer).toMatchObject({ status: 201, text: '{"status":"verification_required"}' });
    expect(await accountsOf(email)).toMatchObject([
      { email, username, display_name: 'Ada L.', email_verified_at: null, status: 'active', roles: '{user}' },
    ]);
    const [message] = await mail.to(email);
    expect(message?.subject).toContain('Confirm');
    expect(message?.links).toEqual([expect.stringMatching(/^https:\/\/app\.example\.com\/verify-email#token=[\w-]{43}$/)]);
  });

  it('[V6.3.8] answers the same to the byte for an address that is free, one that waits and one that is verified', async () => {
    const waiting = await registeredPerson(service);
    const verified = await verifiedPerson(service);
    const answers = await Promise.all([newEmail(), waiting.email, verified.email].map((email) => register({ email, password: PASSWORD })));
    const [free, ...taken] = answers.map(visible);
    for (const answer of taken) expect(answer).toEqual(free);
  });

  it('tells the owner of a verified address by mail, and changes nothing for them', async () => {
    const owner = await verifiedPerson(service);
    const before = await accountsOf(owner.email);
    await register({ email: owner.email.toUpperCase(), password: 'a stranger chose this one', display_name: 'Mallory' });
    expect(await accountsOf(owner.email)).toEqual(before);
    const [message] = await mail.to(owner.email);
    expect(message?.subject).toContain('already have an account');
    expect(message?.text).not.toContain('Mallory');
    expect(message?.text).not.toContain('token=');
    await signIn(api, owner);
  });

  it('[V6.2.5] takes any characters: lower case only, digits only, spaces, other scripts, emoji', async () => {
    const passwords = ['qzwvkxjtpl', '8305917264', 'two  blanks', 'ракушка на дне', '🦉🪁🧭🪵🫐🦔🪨🧶', '~^`\\"\'<>;--'];
    for (const password of passwords) expect(await register({ email: newEmail(), password })).toMatchObject({ status: 201 });
  });

  it('[V6.2.1] asks for eight characters, counted as code points, and says so', async () => {
    const answer = await register({ email: newEmail(), password: '🦉🪁🧭🪵🫐🦔🪨' });
    expectProblem(answer, 'password-policy');
    expect(answer.body.errors).toEqual([{ pointer: '/password', detail: 'It must have at least 8 characters.' }]);
  });

  it('[V6.2.4] refuses common passwords in any case and says why', async () => {
    for (const password of ['password1', 'PASSWORD1', 'qwertyuiop', 'iloveyou1']) {
      const answer = await register({ email: newEmail(), password });
      expectProblem(answer, 'password-policy');
      expect(answer.body.detail).toContain('attackers try first');
    }
  });

  it('[V6.2.4] refuses repeats, runs and decorated words alike, and lets random digits behind a word pass', async () => {
    const patterns = ['00000000', 'aaaaaaaa', 'zzzzzzzz', '87654321', 'abcdefgh', '987654321', '0987654321', '123123123', '12341234'];
    const blanks = [' '.repeat(8), '\u200b'.repeat(8)];
    const words = ['Password123!', 'P@ssw0rd1', 'Welcome1!', 'Summer2024', 'admin1234', 'test12345'];
    for (const password of ['88888888', '66666666', ...patterns, ...blanks, ...words]) {
      const answer = await register({ email: newEmail(), password });
      expectProblem(answer, 'password-policy');
      expect(answer.body.errors, password).toEqual([
        { pointer: '/password', detail: 'It is one of the passwords that attackers try first.' },
      ]);
    }
    for (const password of ['dragon92847561', 'summer dragon welcome', 'correct horse Battery 9 staple']) {
      expect(await register({ email: newEmail(), password }), password).toMatchObject({ status: 201 });
    }
  });

  it('[V6.2.11] refuses what is made of the address, the names or the service, and lets long phrases with them pass', async () => {
    const chosen = { email: 'grace.hopperton@example.com', username: 'amazing-grace', display_name: 'Rear Admiral' };
    for (const password of [
      'hopperton1',
      'H0pperton!!',
      'amazing-grace',
      'Admiral2026',
      'latchkey2026!',
      'Latchkey',
      'hoppertonhopperton',
    ]) {
      expectProblem(await register({ ...chosen, password }), 'password-policy');
    }
    expect(await register({ ...chosen, password: 'hopperton found a moth in a relay' })).toMatchObject({ status: 201 });
  });

  it('[V6.2.9] takes passwords of 64, 128 and 256 characters and refuses longer ones uncut', async () => {
    for (const length of [64, 128, 256]) {
      expect(await register({ email: newEmail(), password: '🦉 quiet '.repeat(length / 8) })).toMatchObject({ status: 201 });
    }
    const answer = await register({ email: newEmail(), password: 'qx'.repeat(129) });
    expectProblem(answer, 'password-policy');
    expect(answer.body.detail).toContain('at most 256');
  });

  it('[V15.3.3] refuses fields that it does not know, and stores nothing', async () => {
    for (const extra of [{ roles: ['admin'] }, { email_verified: true }, { id: crypto.randomUUID() }, { status: 'active' }]) {
      const email = newEmail();
      const answer = await register({ email, password: PASSWORD, ...extra });
      expectProblem(answer, 'invalid-request');
      expect(answer.body.errors).toEqual([{ pointer: `/${Object.keys(extra)[0]}`, detail: expect.any(String) }]);
      expect(await accountsOf(email)).toEqual([]);
    }
  });

  it('[V15.3.5] refuses values of another type and names each field', async () => {
    const answer = await register({ email: ['a@example.com'], password: 123456789012, username: null });
    expectProblem(answer, 'invalid-request');
    expect(answer.body.errors.map(({ pointer }) => pointer).sort()).toEqual(['/email', '/password', '/username']);
  });

  it('[V6.4.2] knows no hints and no secret questions', async () => {
    expectProblem(await register({ email: newEmail(), password: PASSWORD, hint: 'the river' }), 'invalid-request');
  });

  it('refuses what is not an address or a user name', async () => {
    for (const email of ['nobody', '@example.com', 'a@localhost', 'a b@example.com', 'ａda@example.com', `${'a'.repeat(65)}@example.com`]) {
      expectProblem(await register({ email, password: PASSWORD }), 'invalid-request');
    }
    for (const username of ['ab', 'a@b', '-dash', 'two..dots', 'аdmin', 'x'.repeat(33)]) {
      expectProblem(await register({ email: newEmail(), username, password: PASSWORD }), 'invalid-request');
    }
  });
});

describe('a taken user name', () => {
  it('is refused in any case', async () => {
    const { username } = await registeredPerson(service);
    expectProblem(await register({ email: newEmail(), username: username.toUpperCase(), password: PASSWORD }), 'username-taken');
  });

  it('[V6.3.8] is taken as well when it was asked for with an address that has an account, so that names tell nothing about addresses', async () => {
    const verified = await verifiedPerson(service);
    for (const email of [verified.email, newEmail()]) {
      const username = newUsername();
      expect(await register({ email, username, password: PASSWORD })).toMatchObject({ status: 201 });
      expectProblem(await register({ email: newEmail(), username, password: PASSWORD }), 'username-taken');
    }
  });
});

describe('the hidden form field', () => {
  it('gets a program the same answer, stores nothing, mails nobody, and is audited', async () => {
    const [email, person] = [newEmail(), newEmail()];
    const trapped = await register({ email, password: PASSWORD, website_url: 'https://spam.example' });
    expect(visible(trapped)).toEqual(visible(await register({ email: person, password: PASSWORD, website_url: '' })));
    expect(await accountsOf(email)).toEqual([]);
    expect(await mail.to(email)).toEqual([]);
    const events = await sql`select type, risk, details from audit_events where request_id = ${trapped.headers['x-request-id'] ?? ''}`;
    expect(events).toMatchObject([{ type: 'SUSPICIOUS_ACTIVITY', risk: 70, details: { reason: 'honeypot' } }]);
  });
});

describe('fifty registrations at once', () => {
  it('[V2.3.4] of one address make one account, and all look alike', async () => {
    const email = newEmail();
    const answers = await Promise.all(Array.from({ length: 50 }, () => register({ email, password: PASSWORD })));
    expect(tally(answers)).toEqual({ '201': 50 });
    expect(await accountsOf(email)).toHaveLength(1);
  });

  it('[V2.3.4] of one user name give it to one of them', async () => {
    const username = newUsername();
    const answers = await Promise.all(Array.from({ length: 50 }, () => register({ email: newEmail(), username, password: PASSWORD })));
    expect(tally(answers)).toEqual({ '201': 1, 'username-taken': 49 });
    expect(await sql`select id from accounts where username_canonical = ${username}`).toHaveLength(1);
  });

  it('of one address and one user name make one account', async () => {
    const body = { email: newEmail(), username: newUsername(), password: PASSWORD };
    const answers = await Promise.all(Array.from({ length: 20 }, () => register(body)));
    expect(answers.filter(({ status }) => status === 201).length).toBeGreaterThan(0);
    expect(await accountsOf(body.email)).toHaveLength(1);
  });
});

describe('a thousand registrations at once', () => {
  it('[V2.3.4] of one address make one account and no 500; what cannot be hashed in time is told to come back', {
    timeout: 60_000,
  }, async () => {
    const email = newEmail();
    const answers = await Promise.all(Array.from({ length: 1000 }, () => register({ email, password: PASSWORD })));
    const { '201': registered = 0, unavailable = 0, ...others } = tally(answers);
    expect(others).toEqual({});
    expect(registered).toBeGreaterThan(0);
    expect(registered + unavailable).toBe(1000);
    expect(await accountsOf(email)).toHaveLength(1);
  });
});

describe('REGISTRATION_CONFLICTS=reveal', () => {
  it('says that the address is taken', async () => {
    const open = await startService({ settings: { REGISTRATION_CONFLICTS: 'reveal' } });
    try {
      const { email } = await registeredPerson(open);
      expectProblem(await open.api().post('/api/auth/register', { email: email.toUpperCase(), password: PASSWORD }), 'conflict');
    } finally {
      await open.stop();
    }
  });
});

describe('composition rules, where the operator insists', () => {
  it('are off by default, and each names what is missing', async () => {
    const rules = { REQUIRE_UPPERCASE: 'true', REQUIRE_NUMBERS: 'true', REQUIRE_SPECIAL_CHARS: 'true' };
    const fussy = await startService({ settings: rules });
    try {
      const answer = await fussy.api().post('/api/auth/register', { email: newEmail(), password: 'qzwvkxjtpl' });
      expectProblem(answer, 'password-policy');
      expect(answer.body.errors).toHaveLength(3);
      expect(await fussy.api().post('/api/auth/register', { email: newEmail(), password: PASSWORD })).toMatchObject({ status: 201 });
    } finally {
      await fussy.stop();
    }
  });
});

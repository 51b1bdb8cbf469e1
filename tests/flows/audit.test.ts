import pino from 'pino';
import { afterAll, describe, expect, it } from 'vitest';
import { AUDIT_EVENTS, type AuditEventType } from '#domain/audit-event.ts';
import { holderOf } from '#tests/support/admins.ts';
import type { Answer } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { askedForEmail, movedPerson } from '#tests/support/email-changes.ts';
import {
  newEmail,
  OTHER_PASSWORD,
  PASSWORD,
  registeredPerson,
  signedInPerson,
  signIn,
  tokensOf,
  verifiedPerson,
} from '#tests/support/people.ts';
import { assertionOf, enrolPasskey, personWithTotp, preAuthOf, verifyMfa, wrongCode } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { serviceClient } from '#tests/support/service-clients.ts';
import { totpCode } from '#tests/support/totp.ts';

const service = await startService();
const { clock, sql, mail } = service;
afterAll(service.stop);

const IP = '203.0.113.9';
const AGENT = 'Auditor/1.0\t{"level":50}';
const api = service.api({ ip: IP, userAgent: AGENT });
const WRONG = 'wrong horse battery';

/** What no request causes, or none without another provider; and the tests that hold it. */
const WITHOUT_REQUEST = [
  'ADMIN_BOOTSTRAPPED', // bootstrap-admin
  'USER_MADE',
  'SERVICE_CLIENT_MADE', // introspect
  'SERVICE_CLIENT_REVOKED',
  'USERS_IMPORTED', // users-import, users-export
  'USERS_EXPORTED',
  'TOKEN_EXCHANGE_REFUSED', // cognito-exchange
  'IDENTITY_LINKED', // cognito-linking
  'PASSWORD_MIGRATED', // cognito-drain
  'MIGRATION_UNDONE',
  'IDENTITY_UNLINKED',
  'PASSWORD_RESET_FORCED', // users-force-reset
  'ALL_FACTORS_REMOVED', // users-remove-factors
] as const;

const someUser = async () => `/api/admin/users/${(await signedInPerson(service)).id}`;

/** Each event of the catalogue, and requests of which the last one causes it. */
const CAUSES: Record<Exclude<AuditEventType, (typeof WITHOUT_REQUEST)[number]>, () => Promise<Answer>> = {
  ACCOUNT_REGISTERED: () => api.post('/api/auth/register', { email: newEmail(), password: PASSWORD }),
  REGISTRATION_OF_EXISTING: async () =>
    api.post('/api/auth/register', { email: (await verifiedPerson(service)).email, password: PASSWORD }),
  SUSPICIOUS_ACTIVITY: () => api.post('/api/auth/register', { email: newEmail(), password: PASSWORD, website_url: 'x' }),
  EMAIL_VERIFIED: async () => {
    const token = await mail.token((await registeredPerson(service)).email, 'verify-email');
    return api.post('/api/auth/verify-email', { token });
  },
  VERIFICATION_RESENT: async () => api.post('/api/auth/resend-verification', { email: (await registeredPerson(service)).email }),
  LOGIN_SUCCEEDED: async () => api.post('/api/auth/login', { email: (await verifiedPerson(service)).email, password: PASSWORD }),
  LOGIN_FAILED: () => api.post('/api/auth/login', { email: newEmail(), password: WRONG }),
  LOGIN_REFUSED: async () => api.post('/api/auth/login', { email: (await registeredPerson(service)).email, password: PASSWORD }),
  ACCOUNT_LOCKED: async () => {
    const email = newEmail();
    for (let time = 1; time < 5; time++) await api.post('/api/auth/login', { email, password: WRONG });
    return api.post('/api/auth/login', { email, password: WRONG });
  },
  TOKEN_REFRESHED: async () => api.post('/api/auth/refresh', { refresh_token: (await signedInPerson(service)).refreshToken }),
  REFRESH_TOKEN_REUSED: async () => {
    const { refreshToken } = await signedInPerson(service);
    await api.post('/api/auth/refresh', { refresh_token: refreshToken });
    clock.advance(MINUTE);
    return api.post('/api/auth/refresh', { refresh_token: refreshToken });
  },
  SESSION_MOVED: async () => {
    const { refreshToken } = await signIn(service.api({ userAgent: 'curl/8.0' }), await verifiedPerson(service));
    return api.post('/api/auth/refresh', { refresh_token: refreshToken });
  },
  SESSIONS_SUPERSEDED: async () => {
    const person = await signedInPerson(service);
    const other = await startService({ settings: { MAX_SESSIONS_PER_USER: '1' }, database: service.database, clock });
    const answer = await other.api({ ip: IP, userAgent: AGENT }).post('/api/auth/login', { email: person.email, password: PASSWORD });
    await other.stop();
    return answer;
  },
  SIGN_IN_REPORTED: async () => {
    const person = await signedInPerson(service);
    await signIn(service.api({ ip: '198.51.100.77', userAgent: 'curl/8.0' }), person);
    return api.post('/api/auth/report-sign-in', { token: await mail.token(person.email, 'report-sign-in') });
  },
  LOGOUT: async () => api.post('/api/auth/logout', undefined, (await signedInPerson(service)).accessToken),
  SESSION_ENDED: async () => {
    const { sessionId, accessToken } = await signedInPerson(service);
    return api.delete(`/api/auth/sessions/${sessionId}`, accessToken);
  },
  OTHER_SESSIONS_ENDED: async () => api.delete('/api/auth/sessions', (await signedInPerson(service)).accessToken),
  PASSWORD_RESET_REQUESTED: () => api.post('/api/auth/forgot-password', { email: newEmail() }),
  PASSWORD_RESET: async () => {
    const { email } = await verifiedPerson(service);
    await api.post('/api/auth/forgot-password', { email });
    return api.post('/api/auth/reset-password', { token: await mail.token(email, 'reset-password'), new_password: OTHER_PASSWORD });
  },
  PASSWORD_CHANGED: async () => {
    const body = { current_password: PASSWORD, new_password: OTHER_PASSWORD };
    return api.post('/api/auth/change-password', body, (await signedInPerson(service)).accessToken);
  },
  PASSWORD_CHANGE_FAILED: async () => {
    const body = { current_password: WRONG, new_password: OTHER_PASSWORD };
    return api.post('/api/auth/change-password', body, (await signedInPerson(service)).accessToken);
  },
  PROFILE_CHANGED: async () =>
    api.request('PATCH', '/api/auth/me', { body: { display_name: 'Ada' }, token: (await signedInPerson(service)).accessToken }),
  EMAIL_CHANGE_REQUESTED: async () =>
    api.post('/api/auth/change-email', { new_email: newEmail() }, (await signedInPerson(service)).accessToken),
  EMAIL_CHANGED: async () => {
    const { newAddress } = await askedForEmail(service, await signedInPerson(service));
    return api.post('/api/auth/change-email/confirm', { token: await mail.token(newAddress, 'change-email') });
  },
  EMAIL_CHANGE_REVERTED: async () => {
    const { email } = await movedPerson(service, await signedInPerson(service));
    return api.post('/api/auth/change-email/revert', { token: await mail.token(email, 'revert-email') });
  },
  ACCOUNT_EXPORTED: async () => api.get('/api/auth/me/export', (await signedInPerson(service)).accessToken),
  ACCOUNT_DELETED: async () => api.delete('/api/auth/me', (await signedInPerson(service)).accessToken),
  ACCOUNT_KEPT: async () => {
    const { email, accessToken } = await signedInPerson(service);
    await api.delete('/api/auth/me', accessToken);
    return api.post('/api/auth/keep-account', { token: await mail.token(email, 'keep-account') });
  },
  ACCOUNT_ERASED: async () => {
    const { newAddress } = await askedForEmail(service, await signedInPerson(service));
    const token = await mail.token(newAddress, 'change-email');
    await api.post('/api/auth/register', { email: newAddress, password: PASSWORD });
    return api.post('/api/auth/change-email/confirm', { token });
  },
  MFA_REQUIRED: async () => api.post('/api/auth/login', { email: (await personWithTotp(service)).email, password: PASSWORD }),
  MFA_FAILED: async () => {
    const person = await personWithTotp(service);
    return verifyMfa(api, await preAuthOf(api, person), 'totp', wrongCode(service, person.secret));
  },
  MFA_LOCKED: async () => {
    const person = await personWithTotp(service);
    const wrong = wrongCode(service, person.secret);
    for (let time = 1; time < 10; time++) await verifyMfa(api, await preAuthOf(api, person), 'totp', wrong);
    return verifyMfa(api, await preAuthOf(api, person), 'totp', wrong);
  },
  REAUTHENTICATED: async () => api.post('/api/auth/reauthenticate', { password: PASSWORD }, (await signedInPerson(service)).accessToken),
  REAUTHENTICATION_FAILED: async () =>
    api.post('/api/auth/reauthenticate', { password: WRONG }, (await signedInPerson(service)).accessToken),
  FACTOR_ENROLLED: async () => {
    const { accessToken } = await signedInPerson(service);
    const { secret } = (await api.post('/api/auth/mfa/setup', undefined, accessToken)).body;
    return api.post('/api/auth/mfa/activate', { code: totpCode(secret, clock.now()) }, accessToken);
  },
  FACTOR_ENROLMENT_FAILED: async () => {
    const { accessToken } = await signedInPerson(service);
    const { secret } = (await api.post('/api/auth/mfa/setup', undefined, accessToken)).body;
    return api.post('/api/auth/mfa/activate', { code: wrongCode(service, secret) }, accessToken);
  },
  FACTOR_REMOVED: async () => api.post('/api/auth/mfa/disable', undefined, (await personWithTotp(service)).accessToken),
  RECOVERY_CODES_MADE: async () => api.post('/api/auth/mfa/recovery-codes', undefined, (await personWithTotp(service)).accessToken),
  RECOVERY_CODE_USED: async () => {
    const person = await personWithTotp(service);
    return verifyMfa(api, await preAuthOf(api, person), 'recovery_code', person.recoveryCodes[0] ?? '');
  },
  SMS_CODE_SENT: async () =>
    api.post('/api/sms-mfa/setup', { phone_number: '+1 415 555 2672' }, (await signedInPerson(service)).accessToken),
  SMS_REFUSED: async () => {
    const { accessToken } = await signedInPerson(service);
    for (let time = 1; time <= 5; time++) await api.post('/api/sms-mfa/setup', { phone_number: '+1 415 555 2673' }, accessToken);
    return api.post('/api/sms-mfa/setup', { phone_number: '+1 415 555 2673' }, accessToken);
  },
  SMS_DAY_SPENT: async () => {
    const { accessToken } = await signedInPerson(service);
    const today = clock.now().toISOString().slice(0, 10);
    await sql`insert into sms_days values (${today}, 1000, 0) on conflict (day) do update set sent = 1000`;
    const answer = await api.post('/api/sms-mfa/setup', { phone_number: '+1 415 555 2674' }, accessToken);
    await sql`delete from sms_days`;
    return answer;
  },
  PASSKEY_RENAMED: async () => {
    const { passkeyId, accessToken } = await enrolPasskey(service, await signedInPerson(service));
    return api.request('PATCH', `/api/auth/webauthn/credentials/${passkeyId}`, { body: { name: 'The blue one' }, token: accessToken });
  },
  PASSKEY_COUNTER_REGRESSED: async () => {
    const { authenticator } = await enrolPasskey(service, await signedInPerson(service));
    await api.post('/api/auth/webauthn/authenticate/verify', {
      credential: await assertionOf(service, authenticator, { how: { signCount: 9 } }),
    });
    return api.post('/api/auth/webauthn/authenticate/verify', {
      credential: await assertionOf(service, authenticator, { how: { signCount: 8 } }),
    });
  },
  USER_CHANGED: async () => api.patch(await someUser(), { display_name: 'Ada' }, (await holderOf(service, 'admin')).accessToken),
  USER_SUSPENDED: async () => api.patch(await someUser(), { status: 'suspended' }, (await holderOf(service, 'admin')).accessToken),
  USER_RESTORED: async () => {
    const [user, { accessToken }] = [await someUser(), await holderOf(service, 'admin')];
    await api.patch(user, { status: 'suspended' }, accessToken);
    return api.patch(user, { status: 'active' }, accessToken);
  },
  USER_ROLES_CHANGED: async () => api.put(`${await someUser()}/roles`, { roles: [] }, (await holderOf(service, 'admin')).accessToken),
  USER_UNLOCKED: async () => api.post(`${await someUser()}/unlock`, undefined, (await holderOf(service, 'admin')).accessToken),
  USER_SESSIONS_ENDED: async () => api.delete(`${await someUser()}/sessions`, (await holderOf(service, 'admin')).accessToken),
  USER_DELETED: async () => api.delete(await someUser(), (await holderOf(service, 'admin')).accessToken),
  ACCESS_DENIED: async () => api.get('/api/admin/users', (await signedInPerson(service)).accessToken),
  IP_BLOCKED: async () =>
    api.post('/api/admin/ip-blocks', { network: '192.0.2.250', reason: 'x' }, (await holderOf(service, 'admin')).accessToken),
  IP_UNBLOCKED: async () => {
    const { accessToken } = await holderOf(service, 'admin');
    const { body } = await api.post('/api/admin/ip-blocks', { network: '192.0.2.251', reason: 'x' }, accessToken);
    return api.delete(`/api/admin/ip-blocks/${body.id}`, accessToken);
  },
  TOKEN_REVOKED: async () => {
    const { authorization } = await serviceClient(service);
    return api.request('POST', '/api/auth/revoke', {
      body: { token: (await signedInPerson(service)).accessToken },
      headers: { authorization },
    });
  },
  AUDIT_EXPORTED: async () =>
    api.request('GET', '/api/admin/audit-events?type=LOGOUT', {
      token: (await holderOf(service, 'staff')).accessToken,
      headers: { accept: 'application/x-ndjson' },
    }),
  PASSWORD_REHASHED: async () => {
    const person = await verifiedPerson(service);
    const other = await startService({ settings: { ARGON2_TIME_COST: '2' }, database: service.database, clock });
    await signIn(other.api(), person);
    await other.stop();
    return api.post('/api/auth/login', { email: person.email, password: PASSWORD });
  },
};

describe('the audit trail', () => {
  it.each(Object.entries(CAUSES))('[V16.3.3] [V16.2.1] has %s once, with when, where, who and which request', async (type, cause) => {
    const answer = await cause();
    const requestId = answer.headers['x-request-id'] ?? '';
    const events = await sql`select * from audit_events where request_id = ${requestId} and type = ${type}`;
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      occurred_at: clock.now(),
      ip: IP,
      user_agent: 'Auditor/1.0 {"level":50}',
      risk: AUDIT_EVENTS[type as AuditEventType].risk + (type === 'MFA_REQUIRED' || type === 'MFA_FAILED' ? 20 : 0), // from a new device in a new network
    });
    if (type !== 'LOGIN_FAILED' && type !== 'ACCOUNT_LOCKED' && type !== 'SUSPICIOUS_ACTIVITY' && type !== 'PASSWORD_RESET_REQUESTED') {
      expect(events[0]?.['account_id']).not.toBeNull();
    }
  });

  it('keeps the request id that a client sent, and makes one where it is malformed', async () => {
    const send = (id: string) =>
      api.request('POST', '/api/auth/login', { body: { email: newEmail(), password: WRONG }, headers: { 'x-request-id': id } });
    const kept = await send('trace-7f3a.42');
    expect(kept.headers['x-request-id']).toBe('trace-7f3a.42');
    expect(await sql`select 1 from audit_events where request_id = 'trace-7f3a.42'`).toHaveLength(1);
    const replaced = await send('x"} {"level":60');
    expect(replaced.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('[V4.1.3] [V15.3.4] has the address of the socket, whatever X-Forwarded-For says, where no proxy is trusted', async () => {
    const direct = await startService({ settings: { TRUST_PROXY: '' }, database: service.database, clock });
    try {
      const answer = await direct.api({ ip: '6.6.6.6' }).post('/api/auth/login', { email: newEmail(), password: WRONG });
      const [event] = await sql`select ip from audit_events where request_id = ${answer.headers['x-request-id'] ?? ''}`;
      expect(event?.['ip']).toBe('127.0.0.1');
    } finally {
      await direct.stop();
    }
  });
});

describe('secrets', () => {
  it('[V16.2.5] [V14.2.1] stand in no log line and in no row of any table, the mail that waits included', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const web = await startService({ settings: { ROLE: 'web' }, log }); // no worker: mail stays in the outbox
    const { database } = web;
    const worker = () => startService({ settings: { ROLE: 'worker' }, database, clock: web.clock });
    const dump = async () => {
      const tables = await web.sql<
        { name: string }[]
      >`select table_name as name from information_schema.tables where table_schema = 'public'`;
      const rows = await Promise.all(tables.map(({ name }) => web.sql`select to_jsonb(t)::text as row from ${web.sql(name)} t`));
      return rows.flatMap((table) => table.map((row) => String(row['row'])));
    };
    try {
      const client = web.api();
      const person = { id: '', email: newEmail(), username: '', password: 'canary in the Coal mine 1' };
      const next = 'another canary sings 2 us';
      await client.post('/api/auth/register', { email: person.email, password: person.password });
      const rows = await dump();

      let sender = await worker();
      const verifyToken = await sender.mail.token(person.email, 'verify-email');
      await sender.stop();
      await client.post('/api/auth/verify-email', { token: verifyToken });
      const { accessToken, refreshToken } = await signIn(client, person);
      const renewed = tokensOf(await client.post('/api/auth/refresh', { refresh_token: refreshToken }));
      await client.get('/api/auth/me', accessToken);
      await client.post('/api/auth/change-password', { current_password: next, new_password: 'third canary 3 sings' }, accessToken);
      await client.post('/api/auth/forgot-password', { email: person.email });
      rows.push(...(await dump()));

      sender = await worker();
      const resetToken = await sender.mail.token(person.email, 'reset-password');
      await sender.stop();
      await client.post('/api/auth/reset-password', { token: resetToken, new_password: next });
      await client.request('POST', '/api/auth/login', { raw: `{"email":"x@example.com","password":"${next}"` });
      await client.get(`/api/auth/me?access_token=${accessToken}`);
      rows.push(...(await dump()));

      const secretBytes = (token: string) => Buffer.from(token.slice('lk_rt_'.length), 'base64url').subarray(21, 53);
      const texts = {
        password: person.password,
        next,
        third: 'third canary 3 sings',
        verifyToken,
        resetToken,
        accessToken,
        refreshToken,
        renewed: renewed.refreshToken,
      };
      const needles = Object.entries(texts).flatMap(([name, text]) => [
        [name, text],
        [`${name} in hex`, Buffer.from(text).toString('hex')],
        [`${name} in base64`, Buffer.from(text).toString('base64url')],
      ]);
      needles.push(['refresh secret', secretBytes(refreshToken).toString('hex')]);
      expect(rows.length).toBeGreaterThan(10);
      expect(lines.length).toBeGreaterThan(5);
      for (const [name = '', needle = ''] of needles) {
        expect(
          rows.filter((row) => row.includes(needle)),
          `${name} in a row`,
        ).toEqual([]);
        expect(
          lines.filter((line) => line.includes(needle)),
          `${name} in the log`,
        ).toEqual([]);
      }
      expect(rows.some((row) => row.includes('verify-email') && row.includes('"sealed": "\\\\x'))).toBe(true);
    } finally {
      await web.stop();
    }
  });
});

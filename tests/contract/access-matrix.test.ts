import { randomUUID } from 'node:crypto';
import Fastify from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROLES, type Role } from '#domain/roles.ts';
import { requireAccess } from '#http/mount.ts';
import { holderOf } from '../support/admins.ts';
import { codeOf } from '../support/openapi-check.ts';
import { signedInPerson } from '../support/people.ts';
import { personWithTotp, preAuthOf } from '../support/second-factors.ts';
import { startService, type TestService } from '../support/service.ts';

/** Every route that is registered, with every wrong kind of credential. A route added later is in it by itself. */

let service: TestService;
beforeAll(async () => {
  // With everything that a setting can open.
  const settings = { AUTH_PROVIDER: 'both', COGNITO_USER_POOL_ID: 'eu-central-1_None', COGNITO_CLIENT_ID: 'none' };
  service = await startService({ settings });
});
afterAll(() => service.stop());

/** Public by decision: adding to this list is a change that a reviewer sees. */
const PUBLIC = [
  'GET /',
  'GET /.well-known/jwks.json',
  'GET /.well-known/oauth-authorization-server',
  'GET /.well-known/openid-configuration',
  'GET /change-email',
  'GET /dev/mailbox',
  'GET /forgot-password',
  'GET /health',
  'GET /health/live',
  'GET /health/ready',
  'GET /keep-account',
  'GET /pages/form.js',
  'GET /pages/style.css',
  'GET /problems/{code}',
  'GET /report-sign-in',
  'GET /reset-password',
  'GET /revert-email',
  'GET /verify-email',
  'POST /api/auth/change-email/confirm',
  'POST /api/auth/change-email/revert',
  'POST /api/auth/exchange',
  'POST /api/auth/forgot-password',
  'POST /api/auth/keep-account',
  'POST /api/auth/login',
  'POST /api/auth/logout',
  'POST /api/auth/refresh',
  'POST /api/auth/register',
  'POST /api/auth/report-sign-in',
  'POST /api/auth/resend-verification',
  'POST /api/auth/reset-password',
  'POST /api/auth/verify-email',
  'POST /api/auth/verify-mfa',
  'POST /api/auth/webauthn/authenticate/options',
  'POST /api/auth/webauthn/authenticate/verify',
  'POST /api/sms-mfa/send-code',
];

/** By role, as the contract says it. */
const READ = ['GET /api/admin/users', 'GET /api/admin/users/{id}'];
const LOCK = ['PATCH /api/admin/users/{id}', 'POST /api/admin/users/{id}/unlock'];
const STAFF = ['GET /api/admin/audit-events', 'DELETE /api/admin/users/{id}', 'DELETE /api/admin/users/{id}/sessions'];
const MAY: Record<Role, string[]> = {
  user: [],
  moderator: [...READ, ...LOCK],
  staff: [...READ, ...LOCK, ...STAFF],
  admin: [
    ...READ,
    ...LOCK,
    ...STAFF,
    'PUT /api/admin/users/{id}/roles',
    ...['GET', 'POST'].map((method) => `${method} /api/admin/ip-blocks`),
    'DELETE /api/admin/ip-blocks/{id}',
  ],
};

describe('access', () => {
  it('[V8.2.1] is open only where a reviewed list says so', () => {
    const open = service.routes.filter(({ access }) => access === 'public').map(({ method, path }) => `${method} ${path}`);
    expect(open.sort()).toEqual(PUBLIC.sort());
  });

  it('[V8.3.1] [V2.3.1] is refused on every other route without a valid credential, with a PRE_AUTH ticket for one, at its aliases too', {
    timeout: 90_000,
  }, async () => {
    const person = await signedInPerson(service);
    const [head = '', body = ''] = person.accessToken.split('.');
    const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt' })).toString('base64url');
    const preAuth = await preAuthOf(service.api(), await personWithTotp(service));
    const wrong = [undefined, 'rubbish', preAuth, person.refreshToken, `${head}.${body}.`, `${none}.${body}.`, `${head}.${body}.AAAA`];
    const guarded = service.routes.filter(({ access }) => access !== 'public' && !('serviceClient' in access));
    expect(guarded.length).toBeGreaterThan(4);
    for (const { method, path } of guarded) {
      for (const prefix of ['/api/auth/', '/api/v1/auth/', '/auth/']) {
        const url = path.replace('/api/auth/', prefix).replace('{id}', person.sessionId);
        for (const token of wrong) {
          const asCookie = { headers: { cookie: `__Host-session=${token}; session=${token}` } };
          for (const sent of token === undefined ? [{}] : [{ token }, asCookie, { token, ...asCookie }]) {
            const answer = await service.api().request(method, url, sent);
            expect(`${method} ${url} ${answer.status} ${codeOf(answer.body)}`).toBe(`${method} ${url} 401 unauthenticated`);
            expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
          }
        }
      }
    }
    expect((await service.api().get('/api/auth/me', person.accessToken)).status).toBe(200);
    const asCookie = await service.api().request('GET', '/api/auth/me', { headers: { cookie: `__Host-session=${preAuth}` } });
    expect(codeOf(asCookie.body)).toBe('unauthenticated');
    const asRefresh = await service.api().post('/api/auth/refresh', { refresh_token: preAuth });
    expect(codeOf(asRefresh.body)).toBe('invalid-refresh-token');
  });

  it('[V8.3.1] to the routes of services is refused without the credentials of one, those of an admin among them', async () => {
    const { accessToken } = await holderOf(service, 'admin');
    const own = service.routes.filter(({ access }) => access !== 'public' && 'serviceClient' in access);
    expect(own.map(({ path }) => path).sort()).toEqual(['/api/auth/introspect', '/api/auth/revoke']);
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    const wrong = [
      undefined,
      `Bearer ${accessToken}`,
      'Basic',
      basic(''),
      basic(':'),
      basic('admin:admin'),
      basic(`${randomUUID()}:${'A'.repeat(43)}`),
    ];
    for (const { path } of own) {
      for (const authorization of wrong) {
        const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
        const answer = await service.api().request('POST', path, { body: { token: accessToken }, headers });
        expect(`${path} ${answer.status} ${codeOf(answer.body)}`).toBe(`${path} 401 unauthenticated`);
        expect(answer.headers['www-authenticate']).toMatch(/^Basic realm=/);
      }
    }
    expect((await service.api().get('/api/auth/me', accessToken)).status).toBe(200);
  });

  it.each(Object.keys(ROLES) as Role[])('[V8.2.1] is what the permissions of %s are, on every route that asks for one', async (role) => {
    const { accessToken, ...person } = await holderOf(service, role);
    const open: string[] = [];
    const sampled = service.routes.filter(({ access }) => access !== 'public' && access.permission);
    for (const { method, path } of sampled) {
      // Of nobody, with nothing to do: who gets through is told that there is no such thing, or that this is no body.
      const url = path.replace('{id}', '00000000-0000-7000-8000-000000000000');
      const answer = await service.api().request(method, url, { token: accessToken, ...(method === 'GET' ? {} : { body: {} }) });
      if (codeOf(answer.body) !== 'forbidden') open.push(`${method} ${path}`);
    }
    expect(open.sort()).toEqual((MAY[role] ?? []).toSorted());
    expect((await service.api().get('/api/auth/me', accessToken)).status, person.email).toBe(200);
  });

  it('must be declared: a server with a route that does not say who may call it does not start', async () => {
    const app = Fastify();
    requireAccess(app);
    app.get('/forgotten', async () => 'secret');
    await expect(app.ready()).rejects.toThrow('GET /forgotten');
  });
});

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { newEmail, OTHER_PASSWORD, PASSWORD } from '#tests/support/people.ts';
import { smsCode } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { totpCode } from '#tests/support/totp.ts';

/** The commands that the documents of the replaced systems give their users, as they are typed there, with our host in place of theirs. */

const service = await startService();
afterAll(service.stop);
const run = promisify(execFile);

/** Runs a command line of curl; `$NAME` stands for what the reader of the document is to fill in. */
async function curl(command: string, fill: Record<string, string> = {}): Promise<{ status: number; body: Record<string, string> }> {
  const line = `${command.replace('http://localhost:8000', service.origin)} -sS -w '\\n%{http_code}'`;
  const { stdout } = await run('sh', ['-c', line], { env: { ...process.env, ...fill }, timeout: 20_000 });
  const end = stdout.lastIndexOf('\n');
  const text = stdout.slice(0, end);
  return { status: Number(stdout.slice(end + 1)), body: text === '' ? {} : JSON.parse(text) };
}

describe('the documented commands of the replaced systems', () => {
  it.each(['/api/auth', '/api/v1/auth', '/auth'])('work at %s: register, sign in, refresh, sessions, sign out', async (base) => {
    const EMAIL = newEmail();
    const api = `http://localhost:8000${base}`;
    const body = '{\\"email\\": \\"$EMAIL\\", \\"password\\": \\"$PASSWORD\\"}';
    const fill = { EMAIL, PASSWORD };
    const registered = await curl(`curl -X POST ${api}/register -H "Content-Type: application/json" -d "${body}"`, fill);
    expect(registered).toEqual({ status: 201, body: { status: 'verification_required' } });
    const TOKEN = await service.mail.token(EMAIL, 'verify-email');
    const verified = await curl(`curl -X POST ${api}/verify-email -H "Content-Type: application/json" -d "{\\"token\\": \\"$TOKEN\\"}"`, {
      TOKEN,
    });
    expect(verified.status).toBe(200);
    const signedIn = await curl(`curl -X POST ${api}/login -H 'Content-Type: application/json' -d "${body}"`, fill);
    expect(signedIn.body).toMatchObject({ token_type: 'Bearer', access_token: expect.any(String), refresh_token: expect.any(String) });
    const REFRESH = signedIn.body['refresh_token'] ?? '';
    const refreshed = await curl(
      `curl -X POST ${api}/refresh -H "Content-Type: application/json" -d "{\\"refresh_token\\": \\"$REFRESH\\"}"`,
      { REFRESH },
    );
    const ACCESS = refreshed.body['access_token'] ?? '';
    expect((await curl(`curl -X GET ${api}/me -H "Authorization: Bearer $ACCESS"`, { ACCESS })).body['email']).toBe(EMAIL);
    const SESSION = refreshed.body['session_id'] ?? '';
    expect((await curl(`curl ${api}/sessions -H "Authorization: Bearer $ACCESS"`, { ACCESS })).body['sessions']).toMatchObject([
      { id: SESSION },
    ]);
    const other = await curl(`curl -X POST ${api}/login -H 'Content-Type: application/json' -d "${body}"`, fill);
    const OTHER = other.body['session_id'] ?? '';
    const revoked = await curl(`curl -X DELETE ${api}/sessions/$OTHER -H "Authorization: Bearer $ACCESS"`, { ACCESS, OTHER });
    expect(revoked.status).toBe(204);
    expect((await curl(`curl -X POST ${api}/logout -H "Authorization: Bearer $ACCESS"`, { ACCESS })).status).toBe(204);
    expect((await curl(`curl -X GET ${api}/me -H "Authorization: Bearer $ACCESS"`, { ACCESS })).status).toBe(401);
  });

  it('work under the names that only they had: passwords, addresses, authenticator apps and phones', async () => {
    const EMAIL = newEmail();
    const json = '-H "Content-Type: application/json"';
    const post = (path: string, body: string, fill: Record<string, string>, bearer = '') =>
      curl(`curl -X POST http://localhost:8000${path} ${json} ${bearer} -d "${body.replaceAll('"', '\\"')}"`, fill);
    await post('/api/v1/auth/register', '{"email": "$EMAIL", "password": "$PASSWORD"}', { EMAIL, PASSWORD });
    expect((await post('/api/v1/auth/email/resend-verification', '{"email": "$EMAIL"}', { EMAIL })).status).toBe(202);
    const TOKEN = await service.mail.token(EMAIL, 'verify-email');
    expect((await post('/api/v1/auth/email/verify', '{"token": "$TOKEN"}', { TOKEN })).status).toBe(200);
    expect((await post('/api/v1/auth/password-reset', '{"email": "$EMAIL"}', { EMAIL })).status).toBe(202);
    const RESET = await service.mail.token(EMAIL, 'reset-password');
    const reset = await post('/api/v1/auth/password-reset/verify', '{"token": "$RESET", "new_password": "$NEW"}', {
      RESET,
      NEW: OTHER_PASSWORD,
    });
    expect(reset.status).toBe(204);
    const signedIn = await post('/auth/login', '{"username": "$EMAIL", "password": "$NEW"}', { EMAIL, NEW: OTHER_PASSWORD });
    const ACCESS = signedIn.body['access_token'] ?? '';
    const bearer = '-H "Authorization: Bearer $ACCESS"';

    const setUp = await curl(`curl -X POST http://localhost:8000/api/auth/mfa/enable ${bearer}`, { ACCESS });
    expect(setUp.body).toMatchObject({ secret: expect.any(String), qr_code: expect.stringMatching(/^data:image\//) });
    const CODE = totpCode(setUp.body['secret'] ?? '', service.clock.now());
    expect((await post('/api/auth/mfa/verify', '{"code": "$CODE"}', { CODE, ACCESS }, bearer)).body['recovery_codes']).toHaveLength(10);
    const options = await curl(`curl -X POST http://localhost:8000/auth/webauthn/register/options ${bearer}`, { ACCESS });
    expect(options.body['challenge']).toEqual(expect.any(String));

    expect((await post('/api/sms-mfa/setup', '{"phone_number": "+49 151 23456789"}', { ACCESS }, bearer)).status).toBe(202);
    const SMS = await smsCode(service, '+4915123456789');
    expect((await post('/api/sms-mfa/verify', '{"code": "$SMS"}', { SMS, ACCESS }, bearer)).status).toBe(200);
    expect((await curl(`curl -X POST http://localhost:8000/api/sms-mfa/disable ${bearer}`, { ACCESS })).status).toBe(204);
  });

  it('are marked deprecated, each beside the path that stands for it', async () => {
    const document = (await (await fetch(`${service.origin}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, { deprecated?: boolean }>>;
    };
    const old = [
      ['/api/v1/auth/login', '/api/auth/login'],
      ['/api/auth/mfa/enable', '/api/auth/mfa/setup'],
      ['/api/auth/mfa/verify', '/api/auth/mfa/activate'],
      ['/api/v1/auth/password-reset', '/api/auth/forgot-password'],
      ['/api/v1/auth/password-reset/verify', '/api/auth/reset-password'],
      ['/api/v1/auth/email/verify', '/api/auth/verify-email'],
      ['/api/v1/auth/email/resend-verification', '/api/auth/resend-verification'],
      ['/auth/webauthn/register/options', '/api/auth/webauthn/register/options'],
    ] as const;
    for (const [alias, own] of old) {
      expect([alias, document.paths[alias]?.['post']?.deprecated]).toEqual([alias, true]);
      expect([own, document.paths[own]?.['post']?.deprecated]).toEqual([own, undefined]);
    }
  });
});

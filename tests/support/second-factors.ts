import { expect } from 'vitest';
import type { Answer, Api } from './api.ts';
import { softwareAuthenticator } from './authenticator.ts';
import { type Person, type SignedIn, signedInPerson, tokensOf, tryLogin } from './people.ts';
import type { TestService } from './service.ts';
import { totpCode } from './totp.ts';

export const PHONE = '+1 (415) 555-2671';
export const PHONE_E164 = '+14155552671';

export type WithTotp = SignedIn & { secret: string; recoveryCodes: string[] };

/** Somebody who has just enrolled an authenticator app; the session is aal2. */
export async function personWithTotp(service: TestService): Promise<WithTotp> {
  return await enrolTotp(service, await signedInPerson(service));
}

export async function enrolTotp<P extends SignedIn>(service: TestService, person: P): Promise<P & WithTotp> {
  const api = service.api();
  const { secret } = (await api.post('/api/auth/mfa/setup', undefined, person.accessToken)).body;
  const answer = await api.post('/api/auth/mfa/activate', { code: totpCode(secret, service.clock.now()) }, person.accessToken);
  expect(answer.status, answer.text).toBe(200);
  return { ...person, secret, recoveryCodes: answer.body.recovery_codes };
}

/** A code that was not used before: half a minute passes. */
export function nextCode(service: TestService, { secret }: { secret: string }): string {
  service.clock.advance(30);
  return totpCode(secret, service.clock.now());
}

/** A code of six digits that this secret shows neither now nor just before. */
export function wrongCode(service: TestService, secret: string): string {
  const right = [0, -30].map((seconds) => totpCode(secret, new Date(service.clock.now().getTime() + seconds * 1000)));
  return ['000000', '111111', '222222'].find((code) => !right.includes(code)) ?? '';
}

/** The first half of a sign-in: the password was right. */
export async function preAuthOf(api: Api, person: Person): Promise<string> {
  const answer = await tryLogin(api, person);
  expect(answer.body.status, answer.text).toBe('mfa_required');
  return answer.body.pre_auth_token;
}

export function verifyMfa(api: Api, preAuthToken: string, method: string, code: string): Promise<Answer> {
  return api.post('/api/auth/verify-mfa', { pre_auth_token: preAuthToken, method, code });
}

/** One more session, by both factors. */
export async function signInWithTotp<P extends Person & { secret: string }>(service: TestService, person: P): Promise<P & SignedIn> {
  const api = service.api();
  const preAuth = await preAuthOf(api, person);
  return { ...person, ...tokensOf(await verifyMfa(api, preAuth, 'totp', nextCode(service, person))) };
}

/** The code in the newest SMS to this number. */
export async function smsCode(service: TestService, number = PHONE_E164): Promise<string> {
  const [message] = await service.mail.to(number);
  const code = message?.text.match(/^\d{6}/)?.[0];
  if (!code) throw new Error(`No SMS to ${number} holds a code`);
  return code;
}

export async function enrolPhone<P extends SignedIn>(
  service: TestService,
  person: P,
  number = PHONE,
): Promise<P & { recoveryCodes: string[] }> {
  const api = service.api();
  const sent = await api.post('/api/sms-mfa/setup', { phone_number: number }, person.accessToken);
  expect(sent.status, sent.text).toBe(202);
  const answer = await api.post('/api/sms-mfa/verify', { code: await smsCode(service, number.replace(/[^+\d]/g, '')) }, person.accessToken);
  expect(answer.status, answer.text).toBe(200);
  return { ...person, recoveryCodes: answer.body.recovery_codes };
}

export type Authenticator = ReturnType<typeof softwareAuthenticator>;

/** An authenticator on the page of this service's front end. */
export function authenticatorOf({ config }: TestService): Authenticator {
  return softwareAuthenticator({ origin: config.WEBAUTHN_ORIGINS[0] ?? '', rpId: config.WEBAUTHN_RP_ID });
}

export async function enrolPasskey<P extends SignedIn>(
  service: TestService,
  person: P,
  authenticator = authenticatorOf(service),
  how: Parameters<Authenticator['create']>[1] = {},
): Promise<P & { passkeyId: string; authenticator: Authenticator; recoveryCodes: string[] }> {
  const api = service.api();
  const { body: options } = await api.post('/api/auth/webauthn/register/options', undefined, person.accessToken);
  const credential = authenticator.create(options as never, how);
  const answer = await api.post('/api/auth/webauthn/register/verify', { credential }, person.accessToken);
  expect(answer.status, answer.text).toBe(201);
  return { ...person, passkeyId: answer.body.id, authenticator, recoveryCodes: answer.body.recovery_codes };
}

/** The answer of an authenticator to a fresh challenge: for any passkey, or for the sign-in of a pre_auth_token. */
export async function assertionOf(
  service: TestService,
  authenticator: Authenticator,
  { preAuthToken, token, how = {} }: { preAuthToken?: string; token?: string; how?: Parameters<Authenticator['get']>[1] } = {},
): Promise<object> {
  const body = preAuthToken === undefined ? undefined : { pre_auth_token: preAuthToken };
  const answer = await service.api().post('/api/auth/webauthn/authenticate/options', body, token);
  expect(answer.status, answer.text).toBe(200);
  return authenticator.get(answer.body as never, how);
}

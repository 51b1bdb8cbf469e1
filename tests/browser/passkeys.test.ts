import { decodeJwt } from 'jose';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem } from '#tests/support/api.ts';
import { type Device, findChromium, newDevice, openChromium } from '#tests/support/browser.ts';
import { freePort } from '#tests/support/free-port.ts';
import { type SignedIn, signedInPerson, tryLogin } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';

/** Passkeys in Chromium, with its own authenticator: what no test with answers of our making can show. */

const chromium = findChromium();

describe.skipIf(chromium === null)('a passkey in a browser', () => {
  let service: TestService;
  let browser: Browser;
  let origin: string;

  beforeAll(async () => {
    const port = await freePort();
    origin = `http://localhost:${port}`; // an IP address is no relying party
    service = await startService({ port, settings: { WEBAUTHN_RP_ID: 'localhost', WEBAUTHN_ORIGINS: origin } });
    browser = await openChromium(chromium ?? '');
  }, 60_000);
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
  });
  afterAll(async () => {
    await browser?.close();
    await service?.stop();
  });

  const device = (how?: { hasSensor?: boolean }) => newDevice(browser, `${origin}/health`, how);
  const post = async (path: string, body?: unknown, token?: string) => {
    const answer = await service.api().post(`/api/auth${path}`, body, token);
    return { answer, said: answer.body as unknown as Record<string, string> };
  };
  const creationOptions = async ({ accessToken }: SignedIn) => expectOk(await post('/webauthn/register/options', undefined, accessToken));
  const requestOptions = async (body?: { pre_auth_token: string | undefined }) =>
    expectOk(await post('/webauthn/authenticate/options', body));

  /** Somebody who has just made a passkey on this device. */
  async function personWith(where: Device): Promise<SignedIn> {
    const person = await signedInPerson(service);
    const credential = await where.create(await creationOptions(person));
    const { answer } = await post('/webauthn/register/verify', { credential, name: 'Chromium' }, person.accessToken);
    expect(answer.status, answer.text).toBe(201);
    return person;
  }

  async function signInOn(where: Device, mediation?: 'conditional'): Promise<Answer> {
    const credential = await where.get(await requestOptions(), mediation);
    return (await post('/webauthn/authenticate/verify', { credential })).answer;
  }

  /** The password, then the passkey. */
  async function signInWithBoth(person: SignedIn, where: Device): Promise<Answer> {
    const first = await tryLogin(service.api(), person);
    expect(first.body).toMatchObject({ status: 'mfa_required', methods: expect.arrayContaining(['webauthn']) });
    const { pre_auth_token } = first.body as unknown as { pre_auth_token: string };
    const credential = await where.get(await requestOptions({ pre_auth_token }));
    return (await post('/verify-mfa', { pre_auth_token, method: 'webauthn', credential })).answer;
  }

  function expectSignedIn(answer: Answer, person: SignedIn, acr: 'aal1' | 'aal2') {
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.status).toBe('authenticated');
    expect(decodeJwt(answer.body.access_token)).toMatchObject({ sub: person.id, acr });
  }

  it('signs in without a user name, again and again, with both factors in it', async () => {
    const laptop = await device();
    const person = await personWith(laptop);
    expectSignedIn(await signInOn(laptop), person, 'aal2');
    expectSignedIn(await signInOn(laptop), person, 'aal2');
  });

  it('signs in from the autofill of a form (conditional mediation)', async () => {
    const laptop = await device();
    const person = await personWith(laptop);
    expect(await laptop.isConditionalMediationAvailable()).toBe(true);
    expectSignedIn(await signInOn(laptop, 'conditional'), person, 'aal2');
  });

  it('is the second factor after a password', async () => {
    const laptop = await device();
    const person = await personWith(laptop);
    expectSignedIn(await signInWithBoth(person, laptop), person, 'aal2');
  });

  it('of a device that cannot verify its user is a second factor', async () => {
    const key = await device({ hasSensor: false });
    const person = await personWith(key);
    expectSignedIn(await signInWithBoth(person, key), person, 'aal2');
  });

  it('is not given to a stranger at the device', async () => {
    const laptop = await device();
    await personWith(laptop);
    await laptop.setUserVerified(false);
    await expect(signInOn(laptop)).rejects.toThrow('NotAllowedError');
  });

  it('is made once on a device', async () => {
    const laptop = await device();
    const person = await personWith(laptop);
    await expect(laptop.create(await creationOptions(person))).rejects.toThrow('InvalidStateError');
  });

  it('is not given to another origin, not even of the same machine', async () => {
    const laptop = await device();
    await personWith(laptop);
    await laptop.page.goto(`${service.origin}/health`);
    await expect(signInOn(laptop)).rejects.toThrow('SecurityError');
  });

  it('[V6.7.2] answers challenges of 256 bits that never come again, each once', async () => {
    const laptop = await device();
    const person = await personWith(laptop);
    const asked = await Promise.all(Array.from({ length: 50 }, () => requestOptions()));
    const challenges = asked.map((options) => Buffer.from((options as { challenge: string }).challenge, 'base64url'));
    expect(challenges.map((challenge) => challenge.length)).toEqual(challenges.map(() => 32));
    expect(new Set(challenges.map((challenge) => challenge.toString('hex'))).size).toBe(challenges.length);

    const credential = await laptop.get(asked[0] ?? {});
    const { answer } = await post('/webauthn/authenticate/verify', { credential });
    expectSignedIn(answer, person, 'aal2');
    const again = await post('/webauthn/authenticate/verify', { credential });
    expectProblem(again.answer, 'invalid-code');
  });
});

function expectOk({ answer }: { answer: Answer }): object {
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
}

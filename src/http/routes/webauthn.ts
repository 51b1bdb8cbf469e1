import { z } from 'zod';
import type { passkeySignIn } from '#application/passkey-sign-in.ts';
import type { passkeys } from '#application/passkeys.ts';
import type { verifyMfa } from '#application/verify-mfa.ts';
import { UNNAMED_PASSKEY } from '#domain/passkeys.ts';
import { isRefusal } from '#domain/problems.ts';
import { askerOf } from '../asker.ts';
import { sessionCookies } from '../cookies.ts';
import { credential, deviceName, idInPath, passkeyName, preAuthToken, transport } from '../fields.ts';
import { type Route, route } from '../route.ts';
import { PasskeyView, passkeyView, SignInView, signInAnswer } from '../views.ts';

const tag = 'Authenticators';
const options = z.looseObject({ challenge: z.string() });
const id = z.strictObject({ id: idInPath });
const Registered = PasskeyView.extend({
  recovery_codes: z.array(z.string()).describe('with the first second factor of the account, shown this once; else empty'),
}).meta({ id: 'RegisteredPasskey' });

export function webauthnRoutes(
  use: ReturnType<typeof passkeys>,
  { options: challenge, signIn }: ReturnType<typeof passkeySignIn>,
  finishSignIn: ReturnType<typeof verifyMfa>,
): Route[] {
  return [
    route({
      method: 'POST',
      path: '/api/auth/webauthn/register/options',
      tag,
      summary: 'Begin to register a passkey',
      access: { aal: 'aal1', stepUp: true, beforeSecondFactor: true },
      problems: ['conflict'],
      body: z.strictObject({}).optional(),
      responses: { 200: { description: 'PublicKeyCredentialCreationOptionsJSON', schema: options } },
      async handler({ principal }) {
        const outcome = await use.registrationOptions(principal);
        return isRefusal(outcome) ? outcome : { status: 200, body: outcome };
      },
    }),
    route({
      method: 'POST',
      path: '/api/auth/webauthn/register/verify',
      tag,
      summary: 'Register the passkey',
      access: { aal: 'aal1', beforeSecondFactor: true },
      limits: ['mfa'],
      problems: ['invalid-code', 'conflict', 'insufficient-user-authentication'],
      body: z.strictObject({ credential, name: passkeyName.optional() }),
      responses: { 201: { description: 'It is a factor now', schema: Registered } },
      async handler({ body, principal, client }) {
        const outcome = await use.register(principal, body.credential, body.name ?? UNNAMED_PASSKEY, client);
        if (isRefusal(outcome)) return outcome;
        const registered = { ...passkeyView(outcome.passkey), recovery_codes: outcome.recoveryCodes };
        return { status: 201, body: registered, cookies: sessionCookies(outcome.cookie) };
      },
    }),
    route({
      method: 'POST',
      path: '/api/auth/webauthn/authenticate/options',
      tag,
      summary: 'A challenge for a passkey',
      description:
        'Without a body: for any passkey, as for conditional mediation. With a pre_auth_token: as the second factor of that sign-in. With a session: for a step-up.',
      access: 'public',
      session: 'if-there',
      problems: ['invalid-token'],
      body: z.strictObject({ pre_auth_token: preAuthToken.optional() }).optional(),
      responses: { 200: { description: 'PublicKeyCredentialRequestOptionsJSON', schema: options } },
      async handler({ body, principal, client }) {
        const outcome = await challenge(askerOf(body?.pre_auth_token, principal), client);
        return isRefusal(outcome) ? outcome : { status: 200, body: outcome };
      },
    }),
    route({
      method: 'POST',
      path: '/api/auth/webauthn/authenticate/verify',
      tag,
      summary: 'Sign in with a passkey',
      description:
        'A passkey that verified its user is two factors. With a pre_auth_token it is the second factor of that sign-in, as in verify-mfa.',
      access: 'public',
      session: 'begins',
      limits: ['mfa'],
      problems: ['invalid-code', 'invalid-token', 'account-locked', 'email-not-verified', 'account-suspended', 'forbidden'],
      body: z.strictObject({
        credential,
        pre_auth_token: preAuthToken.optional(),
        transport,
        device_name: deviceName.optional(),
      }),
      responses: { 200: { description: 'Signed in, or another factor is needed', schema: SignInView } },
      async handler({ body, client }) {
        const outcome =
          body.pre_auth_token === undefined
            ? await signIn(body.credential, { transport: body.transport, device: body.device_name ?? null }, client)
            : await finishSignIn(body.pre_auth_token, { method: 'webauthn', credential: body.credential }, client);
        return isRefusal(outcome) ? outcome : signInAnswer(outcome);
      },
    }),
    route({
      method: 'GET',
      path: '/api/auth/webauthn/credentials',
      tag,
      summary: 'The passkeys of this account',
      access: { aal: 'aal1', beforeSecondFactor: true, takesLegacyTokens: true },
      problems: [],
      responses: { 200: { description: 'Oldest first', schema: z.object({ credentials: z.array(PasskeyView) }) } },
      async handler({ principal }) {
        return { status: 200, body: { credentials: (await use.list(principal.account.id)).map(passkeyView) } };
      },
    }),
    route({
      method: 'PATCH',
      path: '/api/auth/webauthn/credentials/{id}',
      tag,
      summary: 'Rename a passkey',
      access: { aal: 'aal1' },
      problems: ['not-found'],
      params: id,
      body: z.strictObject({ name: passkeyName }),
      responses: { 200: { description: 'As it is now', schema: PasskeyView } },
      async handler({ params, body, principal, client }) {
        const outcome = await use.rename(principal, params.id, body.name, client);
        return isRefusal(outcome) ? outcome : { status: 200, body: passkeyView(outcome) };
      },
    }),
    route({
      method: 'DELETE',
      path: '/api/auth/webauthn/credentials/{id}',
      tag,
      summary: 'Remove a passkey',
      access: { aal: 'aal1', stepUp: true },
      problems: ['not-found', 'conflict'],
      params: id,
      responses: { 204: { description: 'It is gone' } },
      async handler({ params, principal, client }) {
        return (await use.remove(principal, params.id, client)) ?? { status: 204 };
      },
    }),
  ];
}

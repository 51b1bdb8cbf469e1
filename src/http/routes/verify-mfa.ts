import { z } from 'zod';
import type { finishSignIn } from '#application/finish-sign-in.ts';
import { isRefusal } from '#domain/problems.ts';
import { password, preAuthToken } from '../fields.ts';
import { GivenFactorFields, givenFactor, hasWhatItsMethodNeeds } from '../given-factor.ts';
import { route } from '../route.ts';
import { FinishingMethod, SignInView, signInAnswer } from '../views.ts';

export function verifyMfaRoute(use: ReturnType<typeof finishSignIn>) {
  return route({
    method: 'POST',
    path: '/api/auth/verify-mfa',
    tag: 'Signing in',
    summary: 'Finish a sign-in with a second factor',
    description:
      'Five wrong codes end the pre_auth_token. It is good only for the client that began the sign-in. A sign-in at another provider goes on ' +
      'here too: the answer may ask once more (mfa_required), and the method new_password takes new_password instead of a code. Where ' +
      'the provider offers several methods the first that is used is the choice; for sms, send-code makes it.',
    access: 'public',
    session: 'begins',
    limits: ['mfa'],
    problems: [
      'invalid-token',
      'invalid-code',
      'account-locked',
      'account-suspended',
      'password-policy',
      'forbidden',
      'email-not-verified',
    ],
    body: z
      .strictObject({
        pre_auth_token: preAuthToken,
        ...GivenFactorFields,
        method: FinishingMethod,
        new_password: password.optional().describe('for the method new_password alone'),
      })
      .refine(({ method, new_password, ...given }) => {
        if (method === 'new_password') return new_password !== undefined && given.code === undefined && given.credential === undefined;
        return new_password === undefined && hasWhatItsMethodNeeds[0]({ ...given, method });
      }, hasWhatItsMethodNeeds[1]),
    responses: { 200: { description: 'Signed in; at another provider, more may be needed', schema: SignInView } },
    async handler({ body, client }) {
      const { method, new_password: newPassword = '', ...given } = body;
      const answer = method === 'new_password' ? { method, newPassword } : givenFactor({ ...given, method });
      const outcome = await use(body.pre_auth_token, answer, client);
      return isRefusal(outcome) ? outcome : signInAnswer(outcome);
    },
  });
}

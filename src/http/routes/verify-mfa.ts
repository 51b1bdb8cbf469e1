import { z } from 'zod';
import type { verifyMfa } from '#application/verify-mfa.ts';
import { isRefusal } from '#domain/problems.ts';
import { preAuthToken } from '../fields.ts';
import { GivenFactorFields, givenFactor, hasWhatItsMethodNeeds } from '../given-factor.ts';
import { route } from '../route.ts';
import { SignedInView, signedIn } from '../views.ts';

export function verifyMfaRoute(use: ReturnType<typeof verifyMfa>) {
  return route({
    method: 'POST',
    path: '/api/auth/verify-mfa',
    tag: 'Signing in',
    summary: 'Finish a sign-in with a second factor',
    description: 'Five wrong codes end the pre_auth_token. It is good only for the client that began the sign-in.',
    access: 'public',
    session: 'begins',
    limits: ['mfa'],
    problems: ['invalid-token', 'invalid-code', 'account-locked', 'account-suspended'],
    body: z.strictObject({ pre_auth_token: preAuthToken, ...GivenFactorFields }).refine(...hasWhatItsMethodNeeds),
    responses: { 200: { description: 'Signed in', schema: SignedInView } },
    async handler({ body, client }) {
      const outcome = await use(body.pre_auth_token, givenFactor(body), client);
      return isRefusal(outcome) ? outcome : signedIn(outcome);
    },
  });
}

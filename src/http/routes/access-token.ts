import { z } from 'zod';
import type { accessToken } from '#application/access-token.ts';
import { isRefusal } from '#domain/problems.ts';
import { route } from '../route.ts';

const AccessTokenView = z
  .object({
    access_token: z.string().describe('RFC 9068 JWT, verified with the JWKS'),
    token_type: z.literal('Bearer'),
    expires_in: z.int().describe('seconds'),
  })
  .meta({ id: 'AccessToken' });

export function accessTokenRoute(use: ReturnType<typeof accessToken>) {
  return route({
    method: 'POST',
    path: '/api/auth/token',
    tag: 'Signing in',
    summary: 'An access token of this cookie session, for other services',
    description: 'Here it only reads: changes are made with the cookie and its CSRF token.',
    access: { aal: 'aal1', beforeSecondFactor: true },
    problems: ['forbidden'],
    body: z.strictObject({}).optional(),
    responses: { 200: { description: 'Good for some minutes', schema: AccessTokenView } },
    async handler({ principal }) {
      const outcome = await use(principal);
      if (isRefusal(outcome)) return outcome;
      return { status: 200, body: { access_token: outcome.accessToken, token_type: 'Bearer', expires_in: outcome.expiresInSeconds } };
    },
  });
}

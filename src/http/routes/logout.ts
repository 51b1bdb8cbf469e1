import { z } from 'zod';
import type { logout } from '#application/logout.ts';
import { isRefusal, refuse } from '#domain/problems.ts';
import { refreshToken } from '../fields.ts';
import { route } from '../route.ts';

export function logoutRoute(use: ReturnType<typeof logout>) {
  return route({
    method: 'POST',
    path: '/api/auth/logout',
    tag: 'Signing in',
    summary: 'End this session',
    description: 'With an access token as bearer, or with the refresh token in the body.',
    access: 'public',
    problems: ['unauthenticated', 'invalid-refresh-token'],
    body: z.strictObject({ refresh_token: refreshToken.optional() }).optional(),
    responses: { 204: { description: 'The session is gone' } },
    async handler({ body, bearer, client }) {
      const credential =
        body?.refresh_token !== undefined ? { refreshToken: body.refresh_token } : bearer !== null ? { accessToken: bearer } : null;
      if (credential === null) return refuse('unauthenticated');
      const outcome = await use(credential, client);
      return isRefusal(outcome) ? outcome : { status: 204 };
    },
  });
}

import { z } from 'zod';
import type { logout } from '#application/logout.ts';
import { isRefusal, refuse } from '#domain/problems.ts';
import { SESSION_OVER } from '../cookies.ts';
import { refreshToken } from '../fields.ts';
import { route } from '../route.ts';

export function logoutRoute(use: ReturnType<typeof logout>) {
  return route({
    method: 'POST',
    path: '/api/auth/logout',
    tag: 'Signing in',
    summary: 'End this session',
    description: 'With an access token as bearer, with the session cookie, or with the refresh token in the body.',
    access: 'public',
    session: 'if-there',
    problems: ['invalid-refresh-token'],
    body: z.strictObject({ refresh_token: refreshToken.optional() }).optional(),
    responses: { 204: { description: 'The session is gone' } },
    async handler({ body, principal, client }) {
      const given = body?.refresh_token;
      const who = given !== undefined ? { refreshToken: given } : principal !== null ? { caller: principal } : null;
      if (who === null) return refuse('unauthenticated');
      const outcome = await use(who, client);
      return isRefusal(outcome) ? outcome : { status: 204, ...SESSION_OVER };
    },
  });
}

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
    description:
      'With an access token as bearer, with the session cookie, or with the refresh token in the body, which an access token that has expired does not keep from it. What has ended stays so.',
    access: 'public',
    session: 'if-live', // who signs out after a break sends an access token that has expired beside the refresh token
    problems: ['invalid-refresh-token'],
    body: z.strictObject({ refresh_token: refreshToken.optional() }).optional(),
    responses: { 204: { description: 'The session is gone' } },
    async handler({ body, principal, client, authorization }) {
      const given = body?.refresh_token;
      const isAnybody = given !== undefined || principal !== null || (authorization === '' && client.sessionToken !== null);
      if (!isAnybody) return refuse('unauthenticated');
      if (principal !== null) await use({ caller: principal }, client);
      const outcome = given === undefined ? null : await use({ refreshToken: given }, client);
      return isRefusal(outcome) && principal === null ? outcome : { status: 204, ...SESSION_OVER };
    },
  });
}

import { z } from 'zod';
import type { Clock, CsrfTokens } from '#application/ports/services.ts';
import { secondsUntil } from '#domain/lifetimes.ts';
import { refuse } from '#domain/problems.ts';
import { route } from '../route.ts';

export function csrfRoute({ csrfTokens, clock }: { csrfTokens: CsrfTokens; clock: Clock }) {
  return route({
    method: 'GET',
    path: '/api/auth/csrf',
    tag: 'Signing in',
    summary: 'A CSRF token for this cookie session',
    description: 'For pages that cannot read the csrf_token cookie, because it is of another host. The cookie is set anew with it.',
    access: { aal: 'aal1', beforeSecondFactor: true },
    problems: ['forbidden'],
    responses: { 200: { description: 'To be sent as X-CSRF-Token', schema: z.object({ csrf_token: z.string() }) } },
    async handler({ principal: { session, isByCookie } }) {
      if (!isByCookie) return refuse('forbidden', { detail: 'This is for cookie sessions.' });
      const token = csrfTokens.issue(session.id);
      const maxAgeSeconds = secondsUntil(session.absoluteEndAt, clock.now());
      return { status: 200, body: { csrf_token: token }, cookies: [{ name: 'csrf_token', value: token, maxAgeSeconds }] };
    },
  });
}

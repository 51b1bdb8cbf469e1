import { z } from 'zod';
import type { refresh } from '#application/refresh.ts';
import { isRefusal } from '#domain/problems.ts';
import { refreshToken } from '../fields.ts';
import { route } from '../route.ts';
import { TokensView, tokensView } from '../views.ts';

export function refreshRoute(use: ReturnType<typeof refresh>) {
  return route({
    method: 'POST',
    path: '/api/auth/refresh',
    tag: 'Signing in',
    summary: 'Trade a refresh token for the next one',
    description: 'The token just replaced yields the same successor for some seconds; an older one ends the session.',
    access: 'public',
    problems: ['invalid-refresh-token', 'refresh-token-reused', 'session-superseded', 'account-suspended'],
    body: z.strictObject({ refresh_token: refreshToken }),
    responses: { 200: { description: 'The next tokens', schema: TokensView } },
    async handler({ body, client }) {
      const outcome = await use(body.refresh_token, client);
      return isRefusal(outcome) ? outcome : { status: 200, body: tokensView(outcome) };
    },
  });
}

import { z } from 'zod';
import type { sessions } from '#application/sessions.ts';
import { isRefusal } from '#domain/problems.ts';
import { idInPath } from '../fields.ts';
import { type Route, route } from '../route.ts';
import { SessionView, sessionView } from '../views.ts';

export function sessionRoutes(use: ReturnType<typeof sessions>): Route[] {
  const common = { path: '/api/auth/sessions', tag: 'The account', access: { aal: 'aal1', beforeSecondFactor: true } } as const;
  return [
    route({
      ...common,
      method: 'GET',
      access: { ...common.access, takesLegacyTokens: true },
      summary: 'The live sessions, the last used first',
      problems: [],
      responses: { 200: { description: 'At most 100', schema: z.object({ sessions: z.array(SessionView) }) } },
      async handler({ principal }) {
        const live = await use.list(principal.account.id);
        return { status: 200, body: { sessions: live.map((session) => sessionView(session, principal.session.id)) } };
      },
    }),
    route({
      ...common,
      method: 'DELETE',
      path: '/api/auth/sessions/{id}',
      summary: 'End one session',
      problems: ['not-found'],
      params: z.strictObject({ id: idInPath }),
      responses: { 204: { description: 'It is gone' } },
      async handler({ params, principal, client }) {
        const outcome = await use.end(principal.session, params.id, client);
        return isRefusal(outcome) ? outcome : { status: 204 };
      },
    }),
    route({
      ...common,
      method: 'DELETE',
      summary: 'End every session but this one',
      problems: [],
      responses: { 204: { description: 'They are gone' } },
      async handler({ principal, client }) {
        await use.endOthers(principal.session, client);
        return { status: 204 };
      },
    }),
  ];
}

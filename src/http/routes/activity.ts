import { z } from 'zod';
import type { activity } from '#application/activity.ts';
import { isRefusal } from '#domain/problems.ts';
import { eventCursorOf, pageOf, readEventCursor } from '../cursor.ts';
import { pageFields } from '../fields.ts';
import { route } from '../route.ts';
import { ActivityEvent, activityEventView } from '../views.ts';

const Page = z.object({
  events: z.array(ActivityEvent),
  next_cursor: z.string().nullable().describe('for the next page; null on the last one'),
});

export function activityRoute(use: ReturnType<typeof activity>) {
  return route({
    method: 'GET',
    path: '/api/auth/me/activity',
    tag: 'The account',
    summary: 'What happened to the account, the newest first',
    description: 'Sign-ins, right and wrong, and changes of what protects the account, as long as they are kept (AUDIT_RETENTION_DAYS).',
    access: { aal: 'aal1', beforeSecondFactor: true, takesLegacyTokens: true },
    problems: [],
    query: z.strictObject(pageFields),
    responses: { 200: { description: 'A page', schema: Page } },
    async handler({ query, principal }) {
      const after = readEventCursor(query.cursor);
      if (isRefusal(after)) return after;
      const found = await use(principal.account.id, query.limit, after);
      const { items, nextCursor } = pageOf(found, query.limit, eventCursorOf);
      return { status: 200, body: { events: items.map(activityEventView), next_cursor: nextCursor } };
    },
  });
}

import { z } from 'zod';
import type { changeProfile } from '#application/change-profile.ts';
import { isRefusal } from '#domain/problems.ts';
import { displayName, username } from '../fields.ts';
import { route } from '../route.ts';
import { User, userView } from '../views.ts';

export function changeProfileRoute(use: ReturnType<typeof changeProfile>) {
  return route({
    method: 'PATCH',
    path: '/api/auth/me',
    tag: 'The account',
    summary: 'Change the names of the account',
    description: 'What is left out stays; null takes it away. A change of the user name is told by mail.',
    access: { aal: 'aal1' },
    problems: ['username-taken'],
    body: z.strictObject({ username: username.nullable().optional(), display_name: displayName.nullable().optional() }),
    responses: { 200: { description: 'The user as it is now', schema: User } },
    async handler({ body, principal, client }) {
      const outcome = await use({ username: body.username, displayName: body.display_name }, principal, client);
      return isRefusal(outcome) ? outcome : { status: 200, body: userView(outcome) };
    },
  });
}

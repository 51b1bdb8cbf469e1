import { z } from 'zod';
import type { deleteAccount } from '#application/delete-account.ts';
import type { keepAccount } from '#application/keep-account.ts';
import { isRefusal } from '#domain/problems.ts';
import { SESSION_OVER } from '../cookies.ts';
import { linkToken } from '../fields.ts';
import { type Route, route } from '../route.ts';

const tag = 'The account';

export function deleteAccountRoutes(use: ReturnType<typeof deleteAccount>, keep: ReturnType<typeof keepAccount>): Route[] {
  return [
    route({
      method: 'DELETE',
      path: '/api/auth/me',
      tag,
      summary: 'Delete the account',
      description:
        'Every session ends, and nobody signs in any more. After ACCOUNT_DELETION_GRACE_DAYS it is erased; until then a mailed link keeps it. The last active admin stays: 409.',
      access: { aal: 'aal1', stepUp: true },
      problems: ['conflict'],
      responses: { 204: { description: 'Deleted' } },
      async handler({ principal, client }) {
        return (await use(principal, client)) ?? { status: 204, ...SESSION_OVER };
      },
    }),
    route({
      method: 'POST',
      path: '/api/auth/keep-account',
      tag,
      summary: 'Keep an account that was deleted',
      description: 'With the token of the mail about the deletion. Sessions stay ended.',
      access: 'public',
      problems: ['invalid-token'],
      body: z.strictObject({ token: linkToken }),
      responses: { 200: { description: 'It is there as before', schema: z.object({ status: z.literal('kept') }) } },
      async handler({ body, client }) {
        const outcome = await keep(body.token, client);
        return isRefusal(outcome) ? outcome : { status: 200, body: outcome };
      },
    }),
  ];
}

import { z } from 'zod';
import type { revertEmail } from '#application/revert-email.ts';
import { isRefusal } from '#domain/problems.ts';
import { linkToken } from '../fields.ts';
import { route } from '../route.ts';

export function revertEmailRoute(use: ReturnType<typeof revertEmail>) {
  return route({
    method: 'POST',
    path: '/api/auth/change-email/revert',
    tag: 'The account',
    summary: 'Take the account back from its old e-mail address',
    description: 'Ends every session and the password, removes authenticators added since, and mails a link for a new password.',
    access: 'public',
    problems: ['invalid-token', 'conflict'],
    body: z.strictObject({ token: linkToken }),
    responses: { 200: { description: 'The old address holds again', schema: z.object({ status: z.literal('reverted') }) } },
    async handler({ body, client }) {
      const outcome = await use(body.token, client);
      return isRefusal(outcome) ? outcome : { status: 200, body: outcome };
    },
  });
}

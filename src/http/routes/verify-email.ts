import { z } from 'zod';
import type { verifyEmail } from '#application/verify-email.ts';
import { isRefusal } from '#domain/problems.ts';
import { linkToken } from '../fields.ts';
import { route } from '../route.ts';

export function verifyEmailRoute(use: ReturnType<typeof verifyEmail>) {
  return route({
    method: 'POST',
    path: '/api/auth/verify-email',
    aliases: ['/api/v1/auth/email/verify'],
    tag: 'Registration and e-mail',
    summary: 'Confirm an e-mail address',
    access: 'public',
    problems: ['invalid-token'],
    body: z.strictObject({ token: linkToken }),
    responses: { 200: { description: 'Confirmed', schema: z.object({ status: z.literal('verified') }) } },
    async handler({ body, client }) {
      const outcome = await use(body.token, client);
      return isRefusal(outcome) ? outcome : { status: 200, body: outcome };
    },
  });
}

import { z } from 'zod';
import type { reportSignIn } from '#application/report-sign-in.ts';
import { linkToken } from '../fields.ts';
import { route } from '../route.ts';

export function reportSignInRoute(use: ReturnType<typeof reportSignIn>) {
  return route({
    method: 'POST',
    path: '/api/auth/report-sign-in',
    tag: 'The account',
    summary: 'Say of a sign-in on a new device that it was not you',
    description:
      'With the token of the mail that told of it. Ends every session and the password, undoes what the sign-in led to, and mails a link to choose a new one.',
    access: 'public',
    limits: ['password-reset'],
    problems: ['invalid-token', 'conflict'],
    body: z.strictObject({ token: linkToken }),
    responses: { 200: { description: 'The account is secured', schema: z.object({ status: z.literal('secured') }) } },
    async handler({ body, client }) {
      return (await use(body.token, client)) ?? { status: 200, body: { status: 'secured' } };
    },
  });
}

import { z } from 'zod';
import type { changeEmail } from '#application/change-email.ts';
import { isRefusal } from '#domain/problems.ts';
import { email, linkToken } from '../fields.ts';
import { type Route, route } from '../route.ts';

export function changeEmailRoutes(use: ReturnType<typeof changeEmail>): Route[] {
  return [
    route({
      method: 'POST',
      path: '/api/auth/change-email',
      tag: 'The account',
      summary: 'Ask for another e-mail address',
      description: 'Answers the same whether or not the address has an account. A link goes to the new address, a notice to the old one.',
      access: { aal: 'aal1', stepUp: true },
      limits: ['password-reset'],
      isLimitedByFlow: true,
      problems: ['conflict'],
      body: z.strictObject({ new_email: email }),
      responses: { 202: { description: 'A link is on its way, or so it seems' } },
      async handler({ body, principal, client, allowance }) {
        return (await use.ask(body.new_email, principal, client, allowance)) ?? { status: 202 };
      },
    }),
    route({
      method: 'POST',
      path: '/api/auth/change-email/confirm',
      tag: 'The account',
      summary: 'Confirm the new e-mail address',
      description: 'The session that asked stays, the others end. The old address gets a link that takes the account back.',
      access: 'public',
      problems: ['invalid-token', 'conflict'],
      body: z.strictObject({ token: linkToken }),
      responses: { 200: { description: 'Changed', schema: z.object({ status: z.literal('changed') }) } },
      async handler({ body, client }) {
        const outcome = await use.confirm(body.token, client);
        return isRefusal(outcome) ? outcome : { status: 200, body: outcome };
      },
    }),
  ];
}

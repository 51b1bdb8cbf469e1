import { z } from 'zod';
import type { forgotPassword } from '#application/forgot-password.ts';
import { email } from '../fields.ts';
import { route } from '../route.ts';

export function forgotPasswordRoute(use: ReturnType<typeof forgotPassword>) {
  return route({
    method: 'POST',
    path: '/api/auth/forgot-password',
    aliases: ['/api/v1/auth/password-reset'],
    tag: 'Registration and e-mail',
    summary: 'Ask for a link to set a new password',
    access: 'public',
    isEven: true,
    limits: ['password-reset'],
    isLimitedByFlow: true,
    problems: [],
    body: z.strictObject({ email }),
    responses: { 202: { description: 'Sent, if the address has an account' } },
    async handler({ body, client, allowance }) {
      return (await use(body.email, client, allowance)) ?? { status: 202 };
    },
  });
}

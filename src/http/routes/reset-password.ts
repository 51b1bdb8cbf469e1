import { z } from 'zod';
import type { resetPassword } from '#application/reset-password.ts';
import { isRefusal } from '#domain/problems.ts';
import { linkToken, password } from '../fields.ts';
import { route } from '../route.ts';

export function resetPasswordRoute(use: ReturnType<typeof resetPassword>) {
  return route({
    method: 'POST',
    path: '/api/auth/reset-password',
    aliases: ['/api/v1/auth/password-reset/verify'],
    tag: 'Registration and e-mail',
    summary: 'Set a new password with a mailed token',
    description: 'Ends every session of the account and opens none. A refused password does not use the token up.',
    access: 'public',
    problems: ['invalid-token', 'password-policy'],
    body: z.strictObject({ token: linkToken, new_password: password }),
    responses: { 204: { description: 'The new password holds' } },
    async handler({ body, client }) {
      const outcome = await use(body.token, body.new_password, client);
      return isRefusal(outcome) ? outcome : { status: 204 };
    },
  });
}

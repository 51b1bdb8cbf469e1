import { z } from 'zod';
import type { changePassword } from '#application/change-password.ts';
import { isRefusal } from '#domain/problems.ts';
import { password } from '../fields.ts';
import { route } from '../route.ts';
import { SignedInView, signedIn } from '../views.ts';

export function changePasswordRoute(use: ReturnType<typeof changePassword>) {
  return route({
    method: 'POST',
    path: '/api/auth/change-password',
    tag: 'The account',
    summary: 'Change the password',
    description: 'Answers new tokens, or a new cookie, for this session; every other session ends.',
    access: { aal: 'aal1' },
    problems: ['invalid-credentials', 'password-policy', 'account-locked'],
    body: z.strictObject({ current_password: password, new_password: password }),
    responses: { 200: { description: 'Changed', schema: SignedInView } },
    async handler({ body, principal, client }) {
      const input = { currentPassword: body.current_password, newPassword: body.new_password };
      const outcome = await use(input, principal, client);
      return isRefusal(outcome) ? outcome : signedIn(outcome);
    },
  });
}

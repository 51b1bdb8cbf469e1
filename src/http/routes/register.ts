import { z } from 'zod';
import type { register } from '#application/register.ts';
import { isRefusal } from '#domain/problems.ts';
import { displayName, email, honeypot, password, username } from '../fields.ts';
import { route } from '../route.ts';

export function registerRoute(use: ReturnType<typeof register>) {
  return route({
    method: 'POST',
    path: '/api/auth/register',
    tag: 'Registration and e-mail',
    summary: 'Register an account',
    description: 'Answers the same whether or not the address has an account. A link to confirm the address is mailed.',
    access: 'public',
    limits: ['register'],
    isLimitedByFlow: true,
    problems: ['password-policy', 'username-taken', 'conflict'],
    body: z.strictObject({
      email,
      password,
      username: username.optional(),
      display_name: displayName.optional(),
      website_url: honeypot.optional(),
    }),
    responses: {
      201: { description: 'Registered, or so it seems', schema: z.object({ status: z.literal('verification_required') }) },
    },
    async handler({ body, client, allowance }) {
      const input = {
        email: body.email,
        password: body.password,
        username: body.username ?? null,
        displayName: body.display_name ?? null,
        honeypot: body.website_url ?? '',
      };
      const outcome = await use(input, client, allowance);
      return isRefusal(outcome) ? outcome : { status: 201, body: outcome };
    },
  });
}

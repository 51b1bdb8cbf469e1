import { z } from 'zod';
import type { login } from '#application/login.ts';
import { isRefusal } from '#domain/problems.ts';
import { deviceName, honeypot, password, transport } from '../fields.ts';
import { route } from '../route.ts';
import { SignInView, signInAnswer } from '../views.ts';

const identifier = z.string().min(1).max(254);

export function loginRoute(use: ReturnType<typeof login>) {
  return route({
    method: 'POST',
    path: '/api/auth/login',
    tag: 'Signing in',
    summary: 'Sign in with a password',
    access: 'public',
    session: 'begins',
    limits: ['login'],
    problems: ['invalid-credentials', 'account-locked', 'email-not-verified', 'account-suspended', 'forbidden'],
    body: z
      .strictObject({
        identifier: identifier.describe('an e-mail address or a user name').optional(),
        email: identifier.optional(),
        username: identifier.optional(),
        password,
        transport,
        device_name: deviceName.optional(),
        website_url: honeypot.optional(),
      })
      .refine((body) => [body.identifier, body.email, body.username].filter((given) => given !== undefined).length === 1, {
        message: 'Give exactly one of identifier, email and username.',
        path: ['identifier'],
      }),
    responses: { 200: { description: 'Signed in, or a second factor is needed', schema: SignInView } },
    async handler({ body, client }) {
      const input = {
        identifier: body.identifier ?? body.email ?? body.username ?? '',
        password: body.password,
        transport: body.transport,
        device: body.device_name ?? null,
        honeypot: body.website_url ?? '',
      };
      const outcome = await use(input, client);
      return isRefusal(outcome) ? outcome : signInAnswer(outcome);
    },
  });
}

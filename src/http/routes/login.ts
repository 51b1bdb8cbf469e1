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
    description:
      'With provider cognito the password is judged by the user pool; what the pool asks besides comes as mfa_required and goes to verify-mfa.',
    problems: ['invalid-request', 'invalid-credentials', 'account-locked', 'email-not-verified', 'account-suspended', 'forbidden'],
    body: z
      .strictObject({
        identifier: identifier.describe('an e-mail address or a user name').optional(),
        email: identifier.optional(),
        username: identifier.optional(),
        password,
        provider: z
          .enum(['native', 'cognito'])
          .optional()
          .describe('who judges the password (default: the first that AUTH_PROVIDER names)'),
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
        provider: body.provider,
      };
      const outcome = await use(input, client);
      return isRefusal(outcome) ? outcome : signInAnswer(outcome);
    },
  });
}

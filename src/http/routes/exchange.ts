import { z } from 'zod';
import type { exchangeToken } from '#application/exchange-token.ts';
import { isRefusal } from '#domain/problems.ts';
import { deviceName, transport } from '../fields.ts';
import { route } from '../route.ts';
import { SignInView, signInAnswer } from '../views.ts';

export function exchangeRoute(use: ReturnType<typeof exchangeToken>) {
  return route({
    method: 'POST',
    path: '/api/auth/exchange',
    tag: 'Signing in',
    summary: 'Trade a token of AWS Cognito for a session',
    description: 'Takes an ID or access token that the user pool gave to the app client of this service (AUTH_PROVIDER=cognito or both).',
    access: 'public',
    session: 'begins',
    limits: ['login'],
    problems: ['invalid-token', 'email-not-verified', 'account-suspended', 'forbidden', 'invalid-credentials'],
    body: z.strictObject({
      provider: z.literal('cognito'),
      token: z.string().min(1).max(16_384).describe('a JWT of the user pool'),
      transport,
      device_name: deviceName.optional(),
    }),
    responses: { 200: { description: 'Signed in, or a second factor is needed', schema: SignInView } },
    async handler({ body, client }) {
      const outcome = await use({ token: body.token, transport: body.transport, device: body.device_name ?? null }, client);
      return isRefusal(outcome) ? outcome : signInAnswer(outcome);
    },
  });
}

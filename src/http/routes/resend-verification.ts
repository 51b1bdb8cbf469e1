import { z } from 'zod';
import type { resendVerification } from '#application/resend-verification.ts';
import { email } from '../fields.ts';
import { route } from '../route.ts';

export function resendVerificationRoute(use: ReturnType<typeof resendVerification>) {
  return route({
    method: 'POST',
    path: '/api/auth/resend-verification',
    aliases: ['/api/v1/auth/email/resend-verification'],
    tag: 'Registration and e-mail',
    summary: 'Ask for another confirmation mail',
    access: 'public',
    isEven: true,
    limits: ['register'],
    isLimitedByFlow: true,
    problems: [],
    body: z.strictObject({ email }),
    responses: { 202: { description: 'Sent, if the address waits for one' } },
    async handler({ body, client, allowance }) {
      return (await use(body.email, client, allowance)) ?? { status: 202 };
    },
  });
}

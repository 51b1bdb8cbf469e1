import { z } from 'zod';
import type { sendCode } from '#application/send-code.ts';
import type { smsMfa } from '#application/sms-mfa.ts';
import { isRefusal, refuse } from '#domain/problems.ts';
import { SMS_CODE_TTL_SECONDS } from '#domain/tickets.ts';
import { askerOf } from '../asker.ts';
import { sessionCookies } from '../cookies.ts';
import { code, preAuthToken } from '../fields.ts';
import { type Route, route } from '../route.ts';

const tag = 'Authenticators';

/** 63B-4 3.2.9: who enrols a restricted authenticator is told so, and of the alternatives. */
const NOTICE = 'Codes by SMS can be intercepted and numbers taken over. A passkey or an authenticator app protects this account better.';

const Sent = z.object({ status: z.literal('code_sent'), expires_in: z.int().describe('seconds'), notice: z.string() });
const sent = { status: 'code_sent', expires_in: SMS_CODE_TTL_SECONDS, notice: NOTICE } as const;
const Enrolled = z.object({
  status: z.literal('enrolled'),
  notice: z.string(),
  recovery_codes: z.array(z.string()).describe('with the first second factor of the account, shown this once; else empty'),
});

export function smsMfaRoutes(use: ReturnType<typeof smsMfa>, send: ReturnType<typeof sendCode>): Route[] {
  return [
    route({
      method: 'POST',
      path: '/api/sms-mfa/setup',
      tag,
      summary: 'Begin to enrol a phone',
      access: { aal: 'aal1', stepUp: true, beforeSecondFactor: true },
      limits: ['mfa'],
      isLimitedByFlow: true,
      problems: ['forbidden', 'rate-limited'],
      body: z.strictObject({ phone_number: z.string().min(3).max(64).describe('in any human form; kept as E.164') }),
      responses: { 202: { description: 'A code is on its way', schema: Sent } },
      async handler({ body, principal, client, allowance }) {
        return (await use.setUp(principal, body.phone_number, client, allowance)) ?? { status: 202, body: sent };
      },
    }),
    route({
      method: 'POST',
      path: '/api/sms-mfa/verify',
      tag,
      summary: 'Prove the phone with the code',
      access: { aal: 'aal1', beforeSecondFactor: true },
      limits: ['mfa'],
      problems: ['invalid-code', 'insufficient-user-authentication'],
      body: z.strictObject({ code }),
      responses: { 200: { description: 'It is a factor now', schema: Enrolled } },
      async handler({ body, principal, client }) {
        const outcome = await use.verify(principal, body.code, client);
        if (isRefusal(outcome)) return outcome;
        const enrolled = { status: 'enrolled', notice: NOTICE, recovery_codes: outcome.recoveryCodes };
        return { status: 200, body: enrolled, cookies: sessionCookies(outcome.cookie) };
      },
    }),
    route({
      method: 'POST',
      path: '/api/sms-mfa/send-code',
      tag,
      summary: 'Send the code for a sign-in or a step-up',
      description:
        'For a sign-in with its pre_auth_token; for a step-up with its session. For a sign-in at another provider it chooses the code that the ' +
        'provider sends, by SMS or mail, where the user may choose; one that was sent with the question is not sent again.',
      access: 'public',
      session: 'if-there',
      limits: ['mfa'],
      isLimitedByFlow: true,
      problems: ['invalid-token', 'account-locked', 'conflict', 'forbidden', 'rate-limited'],
      body: z.strictObject({ pre_auth_token: preAuthToken.optional() }).optional(),
      responses: { 202: { description: 'A code is on its way', schema: Sent } },
      async handler({ body, principal, client, allowance }) {
        const by = askerOf(body?.pre_auth_token, principal);
        if (by === null) return refuse('unauthenticated');
        const outcome = await send(by, client, allowance);
        return isRefusal(outcome) ? outcome : { status: 202, body: { ...sent, expires_in: outcome.expiresInSeconds } };
      },
    }),
    route({
      method: 'POST',
      path: '/api/sms-mfa/disable',
      tag,
      summary: 'Remove the phone',
      access: { aal: 'aal1', stepUp: true },
      problems: ['conflict'],
      body: z.strictObject({}).optional(),
      responses: { 204: { description: 'It is gone' } },
      async handler({ principal, client }) {
        return (await use.disable(principal, client)) ?? { status: 204 };
      },
    }),
  ];
}

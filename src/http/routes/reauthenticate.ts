import { z } from 'zod';
import type { reauthenticate } from '#application/reauthenticate.ts';
import { isRefusal } from '#domain/problems.ts';
import { sessionCookies } from '../cookies.ts';
import { code, credential, password } from '../fields.ts';
import { givenFactor, hasWhatItsMethodNeeds } from '../given-factor.ts';
import { route } from '../route.ts';
import { instant, Method } from '../views.ts';

const Reauthenticated = z
  .object({
    status: z.literal('authenticated'),
    token_type: z.literal('Bearer').optional(),
    access_token: z.string().optional().describe('of a bearer session'),
    expires_in: z.int().optional().describe('seconds'),
    csrf_token: z.string().optional().describe('of a cookie session, which gets a new cookie'),
    session_id: z.uuid(),
    auth_time: instant,
    acr: z.enum(['aal1', 'aal2']),
  })
  .meta({ id: 'Reauthenticated' });

export function reauthenticateRoute(use: ReturnType<typeof reauthenticate>) {
  return route({
    method: 'POST',
    path: '/api/auth/reauthenticate',
    tag: 'Signing in',
    summary: 'Prove a factor again (step-up)',
    description: 'Renews auth_time and acr of this session, as an answer to 401 insufficient-user-authentication (RFC 9470).',
    access: { aal: 'aal1', beforeSecondFactor: true },
    limits: ['mfa'],
    problems: ['invalid-credentials', 'invalid-code', 'account-locked', 'account-suspended', 'unauthenticated'],
    body: z
      .strictObject({ password: password.optional(), method: Method.optional(), code: code.optional(), credential: credential.optional() })
      .refine((body) => (body.password === undefined) !== (body.method === undefined), {
        message: 'Give password, or method with code or credential.',
        path: ['password'],
      })
      .refine(
        (body) => (body.password === undefined ? hasWhatItsMethodNeeds[0](body) : body.code === undefined && body.credential === undefined),
        hasWhatItsMethodNeeds[1],
      ),
    responses: { 200: { description: 'Renewed, with an access token that says so, or a new cookie', schema: Reauthenticated } },
    async handler({ body, principal, client }) {
      const outcome = await use(body.password === undefined ? givenFactor(body) : { password: body.password }, principal, client);
      if (isRefusal(outcome)) return outcome;
      const { session } = outcome;
      const isCookie = 'cookie' in outcome;
      const view: z.input<typeof Reauthenticated> = {
        status: 'authenticated',
        ...(isCookie
          ? { csrf_token: outcome.cookie.csrfToken }
          : { token_type: 'Bearer' as const, access_token: outcome.accessToken, expires_in: outcome.expiresInSeconds }),
        session_id: session.id,
        auth_time: session.authTime.toISOString(),
        acr: session.acr,
      };
      return { status: 200, body: view, cookies: sessionCookies(isCookie ? outcome.cookie : null) };
    },
  });
}

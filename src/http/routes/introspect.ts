import { z } from 'zod';
import type { introspect } from '#application/introspect.ts';
import type { revokeToken } from '#application/revoke-token.ts';
import { type Route, route } from '../route.ts';

const body = z.strictObject({
  token: z.string().min(1).max(8192),
  token_type_hint: z.string().max(64).optional().describe('not needed: a token shows which it is'),
});

/** RFC 7662 2.2: of a token that is not active nothing else is told. */
const Introspection = z
  .object({
    active: z.boolean(),
    token_type: z.literal('Bearer').optional(),
    iss: z.string().optional(),
    sub: z.uuid().optional(),
    aud: z.string().optional(),
    client_id: z.string().optional(),
    exp: z.int().optional(),
    iat: z.int().optional(),
    jti: z.string().optional(),
    scope: z.string().optional(),
    sid: z.uuid().optional(),
    auth_time: z.int().optional(),
    acr: z.string().optional(),
    amr: z.array(z.string()).optional(),
    roles: z.array(z.string()).optional(),
  })
  .meta({ id: 'Introspection' });

export function introspectRoutes(ask: ReturnType<typeof introspect>, revoke: ReturnType<typeof revokeToken>): Route[] {
  const common = {
    method: 'POST',
    tag: 'For other services',
    access: { serviceClient: true },
    takesForm: true,
    problems: [],
    body,
  } as const;
  return [
    route({
      ...common,
      path: '/api/auth/introspect',
      summary: 'Whether an access token still counts (RFC 7662)',
      description: 'Asks whether the session still lives, which no one can tell offline. A refresh token is never active here.',
      responses: { 200: { description: 'What the token says, or that it is not active', schema: Introspection } },
      async handler({ body: { token } }) {
        const outcome = await ask(token);
        return { status: 200, body: outcome.active ? { ...outcome.claims, active: true, token_type: 'Bearer' } : { active: false } };
      },
    }),
    route({
      ...common,
      path: '/api/auth/revoke',
      summary: 'End the session of a token (RFC 7009)',
      description: 'An access or a refresh token; with it every token of its session. Unknown tokens are fine.',
      responses: { 200: { description: 'It does not count any more' } },
      async handler({ body: { token }, service, client }) {
        if (service) await revoke(token, service, client);
        return { status: 200 };
      },
    }),
  ];
}

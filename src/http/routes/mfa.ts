import { z } from 'zod';
import type { recoveryCodes } from '#application/recovery-codes.ts';
import type { totp } from '#application/totp.ts';
import { maskPhone } from '#domain/phone.ts';
import { isRefusal } from '#domain/problems.ts';
import { sessionCookies } from '../cookies.ts';
import { code } from '../fields.ts';
import { type Route, route } from '../route.ts';
import { instant, Method, PasskeyView, passkeyView, RecoveryCodesView } from '../views.ts';

const tag = 'Authenticators';
const noBody = z.strictObject({}).optional();

const Enrolled = z
  .object({
    methods: z.array(Method).describe('what stands beside the password'),
    required: z.boolean().describe('whether everybody must hold a second factor here'),
    totp: z.object({ enabled: z.boolean(), created_at: instant.nullable(), last_used_at: instant.nullable() }),
    sms: z.object({ enabled: z.boolean(), phone_number: z.string().nullable().describe('masked'), last_used_at: instant.nullable() }),
    webauthn: z.object({ enabled: z.boolean(), credentials: z.array(PasskeyView) }),
    recovery_codes: z.object({ remaining: z.int() }),
  })
  .meta({ id: 'Enrolled' });

const TotpSetup = z
  .object({
    secret: z.string().describe('base 32, to type in by hand'),
    otpauth_uri: z.string(),
    qr_code: z.string().describe('the URI as a picture: data:image/png'),
  })
  .meta({ id: 'TotpSetup' });

export function mfaRoutes(use: ReturnType<typeof totp>, makeCodes: ReturnType<typeof recoveryCodes>): Route[] {
  return [
    route({
      method: 'GET',
      path: '/api/auth/mfa',
      tag,
      summary: 'What is enrolled',
      access: { aal: 'aal1', beforeSecondFactor: true, takesLegacyTokens: true },
      problems: [],
      responses: { 200: { description: 'The authenticators of this account', schema: Enrolled } },
      async handler({ principal }) {
        const { totp: app, phone, passkeys, recoveryCodesLeft, enrolled, required } = await use.list(principal.account.id);
        const view: z.input<typeof Enrolled> = {
          methods: enrolled,
          required,
          totp: {
            enabled: app !== null,
            created_at: app?.createdAt.toISOString() ?? null,
            last_used_at: app?.lastUsedAt?.toISOString() ?? null,
          },
          sms: {
            enabled: phone !== null,
            phone_number: phone && maskPhone(phone.number),
            last_used_at: phone?.lastUsedAt?.toISOString() ?? null,
          },
          webauthn: { enabled: passkeys.length > 0, credentials: passkeys.map(passkeyView) },
          recovery_codes: { remaining: recoveryCodesLeft },
        };
        return { status: 200, body: view };
      },
    }),
    route({
      method: 'POST',
      path: '/api/auth/mfa/setup',
      aliases: ['/api/auth/mfa/enable'],
      tag,
      summary: 'Begin to enrol an authenticator app (TOTP)',
      description: 'The secret counts once a code of it was given to activate. An app that is enrolled works until then.',
      access: { aal: 'aal1', stepUp: true, beforeSecondFactor: true },
      problems: [],
      body: noBody,
      responses: { 200: { description: 'The secret, shown this once', schema: TotpSetup } },
      async handler({ principal }) {
        const outcome = await use.setUp(principal);
        if (isRefusal(outcome)) return outcome;
        const { secret, uri, qrCode } = outcome;
        return { status: 200, body: { secret, otpauth_uri: uri, qr_code: qrCode } };
      },
    }),
    route({
      method: 'POST',
      path: '/api/auth/mfa/activate',
      aliases: ['/api/auth/mfa/verify'],
      tag,
      summary: 'Prove the app with its first code',
      description: 'This session is aal2 from then on. Any recovery codes of before are dead.',
      access: { aal: 'aal1', beforeSecondFactor: true },
      limits: ['mfa'],
      problems: ['invalid-code', 'conflict', 'insufficient-user-authentication'],
      body: z.strictObject({ code }),
      responses: { 200: { description: 'It is a factor now; recovery codes, shown this once', schema: RecoveryCodesView } },
      async handler({ body, principal, client }) {
        const outcome = await use.activate(principal, body.code, client);
        if (isRefusal(outcome)) return outcome;
        return { status: 200, body: { recovery_codes: outcome.recoveryCodes }, cookies: sessionCookies(outcome.cookie) };
      },
    }),
    route({
      method: 'POST',
      path: '/api/auth/mfa/disable',
      tag,
      summary: 'Remove the authenticator app',
      access: { aal: 'aal1', stepUp: true },
      problems: ['conflict'],
      body: noBody,
      responses: { 204: { description: 'It is gone' } },
      async handler({ principal, client }) {
        return (await use.disable(principal, client)) ?? { status: 204 };
      },
    }),
    route({
      method: 'POST',
      path: '/api/auth/mfa/recovery-codes',
      tag,
      summary: 'A new set of recovery codes',
      description: 'The set before is dead.',
      access: { aal: 'aal1', stepUp: true },
      problems: ['conflict'],
      body: noBody,
      responses: { 200: { description: 'The codes, shown this once', schema: RecoveryCodesView } },
      async handler({ principal, client }) {
        const outcome = await makeCodes(principal, client);
        return isRefusal(outcome) ? outcome : { status: 200, body: { recovery_codes: outcome } };
      },
    }),
  ];
}

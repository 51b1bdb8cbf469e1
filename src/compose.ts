import { createRequire } from 'node:module';
import type { FastifyInstance } from 'fastify';
import pino, { type Logger } from 'pino';
import { changePassword } from '#application/change-password.ts';
import { deliverMessages } from '#application/deliver-messages.ts';
import { forgotPassword } from '#application/forgot-password.ts';
import { login } from '#application/login.ts';
import { logout } from '#application/logout.ts';
import type { MailboxView } from '#application/ports/mailbox.ts';
import type { Clock, Services } from '#application/ports/services.ts';
import { refresh } from '#application/refresh.ts';
import { register } from '#application/register.ts';
import { resendVerification } from '#application/resend-verification.ts';
import { resetPassword } from '#application/reset-password.ts';
import { sessions } from '#application/sessions.ts';
import { verifyEmail } from '#application/verify-email.ts';
import type { Route } from '#http/route.ts';
import { changePasswordRoute } from '#http/routes/change-password.ts';
import { forgotPasswordRoute } from '#http/routes/forgot-password.ts';
import { loginRoute } from '#http/routes/login.ts';
import { logoutRoute } from '#http/routes/logout.ts';
import { meRoute } from '#http/routes/me.ts';
import { refreshRoute } from '#http/routes/refresh.ts';
import { registerRoute } from '#http/routes/register.ts';
import { resendVerificationRoute } from '#http/routes/resend-verification.ts';
import { resetPasswordRoute } from '#http/routes/reset-password.ts';
import { sessionRoutes } from '#http/routes/sessions.ts';
import { verifyEmailRoute } from '#http/routes/verify-email.ts';

/** The routes over their flows; also what the documentation and the tests' matrix are made from. */
export function routesOf(services: Services): Route[] {
  return [
    registerRoute(register(services)),
    verifyEmailRoute(verifyEmail(services)),
    resendVerificationRoute(resendVerification(services)),
    forgotPasswordRoute(forgotPassword(services)),
    resetPasswordRoute(resetPassword(services)),
    loginRoute(login(services)),
    refreshRoute(refresh(services)),
    logoutRoute(logout(services)),
    meRoute(),
    ...sessionRoutes(sessions(services)),
    changePasswordRoute(changePassword(services)),
  ];
}

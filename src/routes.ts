import { accessToken } from '#application/access-token.ts';
import { activity } from '#application/activity.ts';
import { administerUsers } from '#application/administer-users.ts';
import { auditTrail } from '#application/audit-trail.ts';
import { blockIps } from '#application/block-ips.ts';
import { changeEmail } from '#application/change-email.ts';
import { changePassword } from '#application/change-password.ts';
import { changeProfile } from '#application/change-profile.ts';
import { changeRoles } from '#application/change-roles.ts';
import { deleteAccount } from '#application/delete-account.ts';
import { exchangeToken } from '#application/exchange-token.ts';
import { exportAccount } from '#application/export-account.ts';
import { finishSignIn } from '#application/finish-sign-in.ts';
import { forgotPassword } from '#application/forgot-password.ts';
import { introspect } from '#application/introspect.ts';
import { keepAccount } from '#application/keep-account.ts';
import { login } from '#application/login.ts';
import { logout } from '#application/logout.ts';
import { passkeySignIn } from '#application/passkey-sign-in.ts';
import { passkeys } from '#application/passkeys.ts';
import type { Services } from '#application/ports/services.ts';
import { reauthenticate } from '#application/reauthenticate.ts';
import { recoveryCodes } from '#application/recovery-codes.ts';
import { refresh } from '#application/refresh.ts';
import { register } from '#application/register.ts';
import { reportSignIn } from '#application/report-sign-in.ts';
import { resendVerification } from '#application/resend-verification.ts';
import { resetPassword } from '#application/reset-password.ts';
import { revertEmail } from '#application/revert-email.ts';
import { revokeToken } from '#application/revoke-token.ts';
import { sendCode } from '#application/send-code.ts';
import { sessions } from '#application/sessions.ts';
import { smsMfa } from '#application/sms-mfa.ts';
import { totp } from '#application/totp.ts';
import { verifyEmail } from '#application/verify-email.ts';
import { verifyMfa } from '#application/verify-mfa.ts';
import type { Route } from '#http/route.ts';
import { accessTokenRoute } from '#http/routes/access-token.ts';
import { activityRoute } from '#http/routes/activity.ts';
import { administerUsersRoutes } from '#http/routes/administer-users.ts';
import { auditTrailRoute } from '#http/routes/audit-trail.ts';
import { blockIpsRoutes } from '#http/routes/block-ips.ts';
import { changeEmailRoutes } from '#http/routes/change-email.ts';
import { changePasswordRoute } from '#http/routes/change-password.ts';
import { changeProfileRoute } from '#http/routes/change-profile.ts';
import { changeRolesRoute } from '#http/routes/change-roles.ts';
import { csrfRoute } from '#http/routes/csrf.ts';
import { deleteAccountRoutes } from '#http/routes/delete-account.ts';
import { exchangeRoute } from '#http/routes/exchange.ts';
import { exportAccountRoute } from '#http/routes/export-account.ts';
import { forgotPasswordRoute } from '#http/routes/forgot-password.ts';
import { introspectRoutes } from '#http/routes/introspect.ts';
import { loginRoute } from '#http/routes/login.ts';
import { logoutRoute } from '#http/routes/logout.ts';
import { meRoute } from '#http/routes/me.ts';
import { mfaRoutes } from '#http/routes/mfa.ts';
import { reauthenticateRoute } from '#http/routes/reauthenticate.ts';
import { refreshRoute } from '#http/routes/refresh.ts';
import { registerRoute } from '#http/routes/register.ts';
import { reportSignInRoute } from '#http/routes/report-sign-in.ts';
import { resendVerificationRoute } from '#http/routes/resend-verification.ts';
import { resetPasswordRoute } from '#http/routes/reset-password.ts';
import { revertEmailRoute } from '#http/routes/revert-email.ts';
import { sessionRoutes } from '#http/routes/sessions.ts';
import { smsMfaRoutes } from '#http/routes/sms-mfa.ts';
import { verifyEmailRoute } from '#http/routes/verify-email.ts';
import { verifyMfaRoute } from '#http/routes/verify-mfa.ts';
import { webauthnRoutes } from '#http/routes/webauthn.ts';

/** The routes over their flows; also what the documentation and the tests' matrix are made from. */
export function routesOf(services: Services): Route[] {
  const { federation, policy } = services;
  const secondFactor = verifyMfa(services);
  // Where passwords are another provider's alone, nobody gets one here. Links that were mailed go on working.
  const forPasswords = [
    registerRoute(register(services)),
    resendVerificationRoute(resendVerification(services)),
    forgotPasswordRoute(forgotPassword(services)),
  ];
  return [
    ...(policy.providers.allowed.includes('native') ? forPasswords : []),
    verifyEmailRoute(verifyEmail(services)),
    resetPasswordRoute(resetPassword(services)),
    loginRoute(login(services)),
    verifyMfaRoute(finishSignIn(services)),
    ...(federation && policy.providers.allowed.includes('cognito') ? [exchangeRoute(exchangeToken(services, federation))] : []),
    refreshRoute(refresh(services)),
    accessTokenRoute(accessToken(services)),
    csrfRoute(services),
    logoutRoute(logout(services)),
    meRoute(),
    activityRoute(activity(services)),
    exportAccountRoute(exportAccount(services)),
    changeProfileRoute(changeProfile(services)),
    ...deleteAccountRoutes(deleteAccount(services), keepAccount(services)),
    ...changeEmailRoutes(changeEmail(services)),
    revertEmailRoute(revertEmail(services)),
    ...sessionRoutes(sessions(services)),
    reportSignInRoute(reportSignIn(services)),
    reauthenticateRoute(reauthenticate(services)),
    ...mfaRoutes(totp(services), recoveryCodes(services)),
    ...webauthnRoutes(passkeys(services), passkeySignIn(services), secondFactor),
    ...smsMfaRoutes(smsMfa(services), sendCode(services)),
    changePasswordRoute(changePassword(services)),
    ...administerUsersRoutes(administerUsers(services)),
    changeRolesRoute(changeRoles(services)),
    auditTrailRoute(auditTrail(services)),
    ...blockIpsRoutes(blockIps(services)),
    ...introspectRoutes(introspect(services), revokeToken(services)),
  ];
}

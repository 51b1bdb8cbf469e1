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


export type Service = {
  app: FastifyInstance;
  /** Listens. @returns the port */
  listen(): Promise<number>;
  /** Not ready from now on; finishes what runs, closes what is open. */
  stop(): Promise<void>;
  mailbox: MailboxView;
  log: Logger;
};

export type Surroundings = {
  database: DatabaseAddress;
  /** At least 32 characters or bytes from which every symmetric key is derived. */
  secretKey: Buffer;
  clock?: Clock;
  log: Logger;
};

const systemClock: Clock = { now: () => new Date() };

/** Which parts, with which settings: read from top to bottom. Nothing here decides anything else. */
export async function compose(config: Config, { database: address, secretKey, clock = systemClock, log }: Surroundings): Promise<Service> {
  const keys = deriveKeys(secretKey);
  const database = openDatabase(address, { poolSize: config.DATABASE_POOL_SIZE, prepare: config.DATABASE_PREPARE });
  const keyring = await openKeyring(config, clock, log);
  const limits = openLimiter(config, clock, log);
  const letters = mailbox(clock);
  const dispatcher = { wake() {} } as { wake(): void; stop?(): Promise<void> };
  const courier = sealingCourier(keys.outbox, () => dispatcher.wake());

  const services: Services = {
    store: postgresStore(database),
    passwords: await argon2Hasher({
      memoryKib: config.ARGON2_MEMORY_KIB,
      timeCost: config.ARGON2_TIME_COST,
      parallelism: config.ARGON2_PARALLELISM,
    }),
    commonPasswords: loadCommonPasswords(),
    accessTokens: accessTokens(keyring, { issuer: config.ISSUER, audience: config.ISSUER, clientId: 'latchkey' }),
    refreshTokens: refreshTokens(keys.refreshTokens),
    secrets: secrets(keys.identifiers),
    limiter: limits.limiter,
    courier,
    clock,
    policy: config.policy,
  };
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

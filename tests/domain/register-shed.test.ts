import { expect, it } from 'vitest';
import { mailbox } from '#application/may-mail.ts';
import { DependencyDown } from '#application/ports/errors.ts';
import type { Allowance } from '#application/ports/services.ts';
import { register } from '#application/register.ts';
import { inProcessLimiter } from '#infrastructure/embedded/in-process-limiter.ts';
import { loadConfig } from '#src/config.ts';

const { policy, rateLimits } = loadConfig({});
const clock = { now: () => new Date(Date.UTC(2026, 0, 1)) };
const secrets = { identifierHash: (text: string) => Buffer.from(text) };
const client = { ip: '192.0.2.1', userAgent: null, requestId: 'r', sessionToken: null, deviceToken: null };
const email = 'ada@example.com';

it('a registration that was turned away because the service is busy takes no mail from its address', async () => {
  const limiter = inProcessLimiter(clock, { limits: rateLimits });
  const allowance: Allowance = {
    take: async (also) => ({ refusal: null, also: (await limiter.take([{ limit: 'global', key: 'all' }], 'refuse', also)).aside }),
    giveBack: (bucket) => limiter.charge(bucket, -1),
  };
  const busy = { hash: () => Promise.reject(new DependencyDown('argon2')) };
  const needs = { passwords: busy, commonPasswords: { has: () => false }, secrets, clock, policy, courier: { seal: () => ({}) } };
  const use = register(needs as never);
  const input = { email, password: 'nine quiet rivers under 1 Bridge!', username: null, displayName: null, honeypot: '' };
  for (let time = 0; time < 5; time += 1) await expect(use(input, client, allowance)).rejects.toThrow(DependencyDown);
  const { allowed, readings } = await limiter.take([mailbox(secrets as never, email, 'mail')], 'refuse');
  expect([allowed, readings[0]?.remaining]).toEqual([true, rateLimits['password-reset'].capacity - 1]);
});

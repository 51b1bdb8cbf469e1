import { expect } from 'vitest';
import { newEmail, type SignedIn } from './people.ts';
import type { TestService } from './service.ts';

/** Somebody who has asked for another address. */
export async function askedForEmail<P extends SignedIn>(
  service: TestService,
  person: P,
  newAddress = newEmail(),
): Promise<P & { newAddress: string }> {
  const answer = await service.api().post('/api/auth/change-email', { new_email: newAddress }, person.accessToken);
  expect(answer.status, answer.text).toBe(202);
  return { ...person, newAddress };
}

/** Somebody whose account has moved; `email` still is the old address. */
export async function movedPerson<P extends SignedIn>(
  service: TestService,
  person: P,
  newAddress = newEmail(),
): Promise<P & { newAddress: string }> {
  await askedForEmail(service, person, newAddress);
  const token = await service.mail.token(newAddress, 'change-email');
  const answer = await service.api().post('/api/auth/change-email/confirm', { token });
  expect(answer.status, answer.text).toBe(200);
  return { ...person, newAddress };
}

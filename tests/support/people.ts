import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import type { Answer, Api } from './api.ts';
import type { TestService } from './service.ts';

/** Good under every policy, the strict one included. */
export const PASSWORD = 'nine quiet rivers under 1 Bridge!';
export const OTHER_PASSWORD = 'eleven loud trains over 2 Valleys!';

export type Person = { id: string; email: string; username: string; password: string };

/** Nobody has it yet. */
export function newEmail(): string {
  return `p${randomBytes(6).toString('hex')}@example.com`;
}

/** Nobody has it yet. */
export function newUsername(): string {
  return `p${randomBytes(6).toString('hex')}`;
}

/** Somebody who has registered and not yet opened the link. */
export async function registeredPerson({ api, sql }: TestService): Promise<Person> {
  const person = { email: newEmail(), username: newUsername(), password: PASSWORD };
  const answer = await api().post('/api/auth/register', person);
  expect(answer.status, answer.text).toBe(201);
  const [row] = await sql<{ id: string }[]>`select id from accounts where email = ${person.email}`;
  return { ...person, id: row?.id ?? '' };
}

/** Somebody whose address is verified, by the link in the mail. */
export async function verifiedPerson(service: TestService): Promise<Person> {
  const person = await registeredPerson(service);
  const token = await service.mail.token(person.email, 'verify-email');
  const answer = await service.api().post('/api/auth/verify-email', { token });
  expect(answer.status, answer.text).toBe(200);
  return person;
}

export type SignedIn = Person & { accessToken: string; refreshToken: string; sessionId: string };

/** Somebody with a session. */
export async function signedInPerson(service: TestService): Promise<SignedIn> {
  return await signIn(service.api(), await verifiedPerson(service));
}

/** One more session of this person. */
export async function signIn<P extends Person>(api: Api, person: P): Promise<P & SignedIn> {
  return { ...person, ...tokensOf(await tryLogin(api, person)) };
}

export function tryLogin(api: Api, { email, password }: { email: string; password: string }): Promise<Answer> {
  return api.post('/api/auth/login', { email, password });
}

/** The tokens of an answer that must hold some. */
export function tokensOf(answer: Answer): { accessToken: string; refreshToken: string; sessionId: string } {
  expect(answer.status, answer.text).toBe(200);
  return { accessToken: answer.body.access_token, refreshToken: answer.body.refresh_token, sessionId: answer.body.session_id };
}

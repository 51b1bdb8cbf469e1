import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { signedInPerson, tokensOf } from '#tests/support/people.ts';
import { enrolPasskey, enrolPhone, personWithTotp, preAuthOf, verifyMfa } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const remaining = async (token: string) =>
  ((await service.api().get('/api/auth/mfa', token)).body as unknown as { recovery_codes: { remaining: number } }).recovery_codes.remaining;
const renew = (token: string) => service.api().post('/api/auth/mfa/recovery-codes', undefined, token);

describe('recovery codes', () => {
  it('[V6.5.2] are ten of 120 bits, stored as hashes only', async () => {
    const { id, recoveryCodes } = await personWithTotp(service);
    expect(new Set(recoveryCodes).size).toBe(10);
    for (const code of recoveryCodes) expect(code).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}$/);
    const rows = await service.sql`select r::text as row from recovery_codes r where account_id = ${id}`;
    expect(rows).toHaveLength(10);
    for (const code of recoveryCodes) expect(rows.some((row) => String(row['row']).includes(code))).toBe(false);
  });

  it('stand in for the app, however they are typed, and a mail tells how many are left', async () => {
    const person = await personWithTotp(service);
    const [first = '', second = '', third = ''] = person.recoveryCodes;
    const forms = [first.toLowerCase(), second.replaceAll('-', ' '), third.replaceAll('-', '').replaceAll('0', 'O').replaceAll('1', 'l')];
    for (const [index, typed] of forms.entries()) {
      const { accessToken } = tokensOf(await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'recovery_code', typed));
      expect(await remaining(accessToken)).toBe(9 - index);
      const [mail] = await service.mail.to(person.email);
      expect(mail?.text).toContain(`${9 - index} codes are left`);
    }
  });

  it('[V6.5.1] work once, though fifty sign-ins bring the same one at once', async () => {
    const person = await personWithTotp(service);
    const tickets = await Promise.all(Array.from({ length: 50 }, () => preAuthOf(service.api(), person)));
    const code = person.recoveryCodes[4] ?? '';
    const answers = await Promise.all(tickets.map((ticket) => verifyMfa(service.api(), ticket, 'recovery_code', code)));
    expect(tally(answers)['200']).toBe(1);
    expect(answers.filter(({ status }) => status !== 200).every(({ status }) => status === 401 || status === 429)).toBe(true);
    expect(await remaining(person.accessToken)).toBe(9);
  });

  it('[V6.5.1] of a set that was made anew are dead, and the new ones work', async () => {
    const person = await personWithTotp(service);
    const answer = await renew(person.accessToken);
    expect(answer.status).toBe(200);
    const preAuth = await preAuthOf(service.api(), person);
    expectProblem(await verifyMfa(service.api(), preAuth, 'recovery_code', person.recoveryCodes[0] ?? ''), 'invalid-code');
    tokensOf(await verifyMfa(service.api(), preAuth, 'recovery_code', answer.body.recovery_codes[0] ?? ''));
    const mails = await service.mail.to(person.email);
    expect(mails.some(({ subject }) => subject.includes('New recovery codes'))).toBe(true);
  });

  it('[V15.4.2] are one set, though twenty are asked for at once', async () => {
    const person = await personWithTotp(service);
    const answers = await Promise.all(Array.from({ length: 20 }, () => renew(person.accessToken)));
    expect(tally(answers)).toEqual({ '200': 20 });
    expect(await remaining(person.accessToken)).toBe(10);
    expect(await service.sql`select from recovery_codes where account_id = ${person.id}`).toHaveLength(10);
  });

  it('[V8.2.2] are of one account', async () => {
    const [ada, eve] = [await personWithTotp(service), await personWithTotp(service)];
    expectProblem(
      await verifyMfa(service.api(), await preAuthOf(service.api(), ada), 'recovery_code', eve.recoveryCodes[0] ?? ''),
      'invalid-code',
    );
    expect(await remaining(eve.accessToken)).toBe(10);
  });

  it('come with the first second factor, whichever it is, and not with the next', async () => {
    const passkeyFirst = await enrolPasskey(service, await signedInPerson(service));
    expect(passkeyFirst.recoveryCodes).toHaveLength(10);
    expect((await enrolPhone(service, passkeyFirst)).recoveryCodes).toEqual([]);
    expect((await enrolPhone(service, await signedInPerson(service), '+49 151 23456789')).recoveryCodes).toHaveLength(10);
  });

  it('are none without a factor that they stand in for', async () => {
    expectProblem(await renew((await signedInPerson(service)).accessToken), 'conflict');
  });

  it.each(['', ' ', '-', 'ÄÖÜ', '😀'.repeat(10), 'A'.repeat(64), '0000-0000-0000-0000-0000-0000'])(
    'are not guessed by %j',
    async (typed) => {
      const person = await personWithTotp(service);
      const answer = await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'recovery_code', typed);
      expect([400, 401]).toContain(answer.status);
    },
  );
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newEmail, PASSWORD, signedInPerson } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

const TOKEN = 'the token of the tests for metrics';

let service: TestService;
beforeAll(async () => {
  service = await startService({ settings: { METRICS_TOKEN: TOKEN, METRICS_PORT: '0', HOST: '127.0.0.1' } });
});
afterAll(() => service.stop());

async function scrape(url = `${service.origin}/metrics`): Promise<string> {
  const answer = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } });
  expect(answer.status).toBe(200);
  return await answer.text();
}

/** The sum of the samples whose line matches. */
function sum(text: string, line: RegExp): number {
  const samples = text.split('\n').filter((each) => line.test(each));
  return samples.reduce((total, each) => total + Number(each.split(' ').at(-1)), 0);
}

describe('the metrics', () => {
  it('[V13.4.5] are told to whoever has the token, and to nobody else', async () => {
    for (const authorization of [undefined, 'Bearer wrong', TOKEN, `Bearer ${TOKEN}x`, `Basic ${TOKEN}`]) {
      const answer = await fetch(`${service.origin}/metrics`, authorization === undefined ? {} : { headers: { authorization } });
      expect([answer.status, answer.headers.get('content-type')]).toEqual([401, 'application/problem+json; charset=utf-8']);
    }
    expect(await scrape()).toContain('# TYPE latchkey_http_request_duration_seconds histogram');
  });

  it('are on a port of their own too, and nothing else is', async () => {
    const port = service.metricsPort;
    expect(await scrape(`http://127.0.0.1:${port}/metrics`)).toContain('latchkey_hashing_waiting 0');
    for (const path of ['/', '/health', '/api/auth/me']) expect((await fetch(`http://127.0.0.1:${port}${path}`)).status).toBe(404);
  });

  it('count requests by route, method and status, and problems by code; nothing that a client wrote is in a label', async () => {
    const before = await scrape();
    await service.api().post('/api/auth/login', { email: newEmail(), password: 'wrong horse battery' });
    await fetch(`${service.origin}/nowhere/canary-in-a-label?x=canary-in-a-label`);
    const after = await scrape();
    const logins = /^latchkey_http_request_duration_seconds_count\{(?=.*route="\/api\/auth\/login")(?=.*method="POST")(?=.*status="401")/;
    expect(sum(after, logins) - sum(before, logins)).toBe(1);
    const refused = /^latchkey_problems_total\{(?=.*route="\/api\/auth\/login")(?=.*code="invalid-credentials")/;
    expect(sum(after, refused) - sum(before, refused)).toBe(1);
    expect(after).not.toContain('canary');
  });

  it('show an attack: failed sign-ins, lockouts and events of high risk', async () => {
    const email = newEmail();
    for (let time = 0; time < 6; time++) await service.api().post('/api/auth/login', { email, password: 'wrong horse battery' });
    await service.api().post('/api/auth/register', { email: newEmail(), password: PASSWORD, website_url: 'x' });
    const text = await until('the events are counted', async () => {
      const now = await scrape();
      return /audit_events_total\{type="SUSPICIOUS_ACTIVITY"\} 1/.test(now) && now;
    });
    expect(sum(text, /audit_events_total\{type="LOGIN_FAILED"\}/)).toBeGreaterThanOrEqual(5);
    expect(sum(text, /audit_events_total\{type="ACCOUNT_LOCKED"\}/)).toBeGreaterThanOrEqual(1);
    expect(sum(text, /^latchkey_audit_events_high_risk_total/)).toBeGreaterThanOrEqual(2);
  });

  it('show what waits to be sent', async () => {
    const { id } = await signedInPerson(service);
    await service.sql`insert into outbox (id, kind, account_id, recipient, template, created_at, next_attempt_at, expires_at)
      values (gen_random_uuid(), 'email', ${id}, 'x@example.com', 'x', ${new Date(service.clock.now().getTime() - 90_000)}, '2200-01-01', '2200-01-01')`;
    const text = await scrape();
    expect(text).toContain('latchkey_outbox_waiting 1');
    expect(sum(text, /^latchkey_outbox_oldest_seconds/)).toBeGreaterThanOrEqual(89);
  });
});

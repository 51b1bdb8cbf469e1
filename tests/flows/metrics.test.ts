import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIT_EVENTS } from '#domain/audit-event.ts';
import { wireTo } from '#tests/adapters/postgres/wire.ts';
import { testDatabase } from '#tests/support/database.ts';
import { heldUp } from '#tests/support/held-up.ts';
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

function raw(port: number, bytes: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.on('error', reject).on('close', () => resolve());
    socket.resume();
  });
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

  it('count methods that clients make up as one, and what is no HTTP by its code', async () => {
    const port = Number(new URL(service.origin).port);
    for (const method of ['PROPFIND', 'MKCOL', 'UNLINK'])
      await raw(port, `${method} / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
    await raw(port, 'HELO there\r\n\r\n');
    const text = await scrape();
    expect(text).not.toMatch(/PROPFIND|MKCOL|"UNLINK"|HELO/);
    expect(sum(text, /^latchkey_http_request_duration_seconds_count\{.*method="_OTHER"/)).toBe(3);
    expect(sum(text, /^latchkey_problems_total\{(?=.*route="unknown")(?=.*code="invalid-request")/)).toBeGreaterThanOrEqual(1);
  });

  it('count a request whose client left before the answer', async () => {
    const { id, email } = await signedInPerson(service);
    const left = /^latchkey_http_request_duration_seconds_count\{(?=.*route="\/api\/auth\/forgot-password")(?=.*status="499")/;
    const leaving = new AbortController();
    await service.sql.begin(async (tx) => {
      await tx`select from accounts where id = ${id} for update`;
      const asked = fetch(`${service.origin}/api/auth/forgot-password`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ email }),
        signal: leaving.signal,
      });
      const gone = expect(asked).rejects.toThrow('aborted');
      await until('it waits for the account', async () => {
        const waiting = await service.sql`
          select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
        return waiting.length > 0;
      });
      leaving.abort();
      await gone;
      await until('it is counted', async () => sum(await scrape(), left) === 1);
    });
  });

  it('show what is inside: hashing, connections, the pool, keys and dependencies', async () => {
    service.clock.advance(120);
    const text = await scrape();
    for (const sample of [
      'hashing_running 0',
      'hashing_shed_total 0',
      'database_pool_size 10',
      'http_connections_dropped_total 0',
      'limiter_fallbacks_total 0',
    ])
      expect(text).toMatch(new RegExp(`^latchkey_${sample}$`, 'm'));
    expect(sum(text, /^latchkey_http_connections /)).toBeGreaterThan(0);
    expect(text).toContain('latchkey_dependency_up{dependency="postgres"} 1');
    for (const state of ['current', 'next'])
      expect(sum(text, new RegExp(`^latchkey_signing_key_age_seconds\\{state="${state}"`))).toBeGreaterThanOrEqual(120);
    expect(text).toMatch(/^latchkey_build_info\{version="\d+\.\d+\.\d+",node="v24\.[\d.]+"\} 1$/m);
  });

  it('show work for the database while it is under way, and do not wait for it', async () => {
    const { id, email } = await signedInPerson(service);
    const forgot = () => service.api().post('/api/auth/forgot-password', { email });
    await heldUp(
      service,
      id,
      Array.from({ length: 9 }, () => forgot),
      async () => {
        expect(sum(await scrape(), /^latchkey_database_running/)).toBeGreaterThanOrEqual(9);
      },
    );
    await until('it is over', async () => sum(await scrape(), /^latchkey_database_running/) <= 2); // those that ask for this
  });

  it('know every type of event from the start, so that the first of its kind is an increase', async () => {
    const text = await scrape();
    for (const type of Object.keys(AUDIT_EVENTS)) expect(text).toContain(`latchkey_audit_events_total{type="${type}"}`);
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

describe('without PostgreSQL the metrics', () => {
  it('say so, say nothing of what only it could tell, and answer', async () => {
    const database = await testDatabase();
    const wire = await wireTo(database.address);
    const cut = await startService({ settings: { METRICS_TOKEN: TOKEN, LOG_LEVEL: 'silent' }, database, address: wire.address });
    try {
      const url = `${cut.origin}/metrics`;
      await until('it is told', async () => (await scrape(url)).includes('latchkey_outbox_waiting 0'));
      await wire.refuse(true);
      const text = await until('it is called down', async () => {
        const seen = await scrape(url);
        // What failed is counted before the same scrape is what fails.
        return (
          seen.includes('latchkey_dependency_up{dependency="postgres"} 0') && sum(seen, /^latchkey_database_failures_total/) > 0 && seen
        );
      });
      expect(text).not.toMatch(/^latchkey_outbox_(waiting|oldest_seconds) /m);
      await wire.refuse(false);
      await until('it is told again', async () => (await scrape(url)).includes('latchkey_outbox_waiting 0'));
    } finally {
      await cut.stop();
      await wire.close();
      await database.drop();
    }
  });
});

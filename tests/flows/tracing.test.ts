import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type CollectedSpan, type Collector, collector } from '#tests/support/collector.ts';
import { newEmail, OTHER_PASSWORD, PASSWORD, type SignedIn, signedInPerson, tokensOf } from '#tests/support/people.ts';
import { nextCode, personWithTotp, preAuthOf, verifyMfa } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

let collected: Collector;
let service: TestService;
let person: SignedIn;
const lines: Record<string, unknown>[] = [];

beforeAll(async () => {
  collected = await collector();
  service = await startService({
    settings: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collected.url,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-api-key=a%20key,x-team=auth',
      LOG_LEVEL: 'info',
    },
    logTo: { write: (line) => void lines.push(JSON.parse(line)) },
  });
  person = await signedInPerson(service);
});
afterAll(async () => {
  await service.stop();
  await collected.stop();
});

/** A request under an id of its own, and all spans of its trace, the request's own first. */
async function traced(send: (headers: Record<string, string>) => Promise<unknown>, headers: Record<string, string> = {}) {
  const requestId = randomBytes(8).toString('hex');
  await send({ 'x-request-id': requestId, ...headers });
  const server = await until('its span is there', () =>
    collected.spans.find((span) => span.attributes['latchkey.request_id'] === requestId),
  );
  return { requestId, server, spans: collected.spans.filter(({ traceId }) => traceId === server.traceId) };
}

const loginOf = (password: string) => (headers: Record<string, string>) =>
  service.api().request('POST', '/api/auth/login', { body: { email: person.email, password }, headers });

function childrenOf(spans: readonly CollectedSpan[], { spanId }: CollectedSpan): string[] {
  return spans.filter(({ parentSpanId }) => parentSpanId === spanId).map(({ name }) => name);
}

describe('the traces', () => {
  it('of a sign-in say where its time went: Redis, PostgreSQL, Argon2id, the signature', async () => {
    const { server, spans } = await traced(loginOf(PASSWORD));
    expect(server).toMatchObject({
      name: 'POST /api/auth/login',
      kind: 2,
      parentSpanId: undefined,
      isError: false,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/api/auth/login',
        'http.response.status_code': 200,
        'url.scheme': 'http',
      },
    });
    const children = childrenOf(spans, server);
    expect(children).toEqual(expect.arrayContaining(['postgres findForSignIn', 'argon2id verify', 'token sign', 'postgres openSession']));
    if (inject('redisUrl') !== null) expect(children).toContain('redis run');
    for (const { startNano, endNano } of spans) {
      expect(startNano).toBeGreaterThanOrEqual(server.startNano);
      expect(endNano).toBeLessThanOrEqual(server.endNano);
    }
    expect(spans.find(({ name }) => name === 'postgres openSession')).toMatchObject({
      kind: 3,
      attributes: { 'db.system.name': 'postgresql' },
    });
  });

  it.runIf(inject('redisUrl') !== null)('hold together when bodies come later than their heads, on one connection', async () => {
    const body = JSON.stringify({ email: newEmail(), password: PASSWORD });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const late = (headers: Record<string, string>) =>
      new Promise<void>((resolve, reject) => {
        const before = collected.spans.length;
        const all = { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
        const sent = request(`${service.origin}/api/auth/login`, { agent, method: 'POST', headers: all }, (response) => {
          response.resume().on('end', resolve);
        });
        sent.on('error', reject).flushHeaders();
        const isReading = () => collected.spans.slice(before).some(({ name }) => name === 'redis run'); // the last thing before the body
        until('it waits for the body', isReading).then(() => sent.end(body), reject);
      });
    for (let time = 0; time < 3; time++) {
      const { server, spans } = await traced(late);
      expect(childrenOf(spans, server)).toEqual(expect.arrayContaining(['redis run', 'postgres findForSignIn', 'argon2id verify']));
    }
    agent.destroy();
  });

  it('say what was refused, and what broke, by codes alone', async () => {
    const wrong = await traced(loginOf('wrong horse battery'));
    expect(wrong.server).toMatchObject({
      isError: false,
      attributes: { 'http.response.status_code': 401, 'latchkey.problem': 'invalid-credentials' },
    });
    await service.sql`alter table login_throttles rename to login_throttles_gone`;
    try {
      const broken = await traced(loginOf(PASSWORD));
      expect(broken.server).toMatchObject({
        isError: true,
        attributes: { 'http.response.status_code': 500, 'error.type': 'internal-error' },
      });
      expect(broken.spans.find(({ isError, kind }) => isError && kind === 3)?.attributes).toMatchObject({ 'error.type': 'PostgresError' });
    } finally {
      await service.sql`alter table login_throttles_gone rename to login_throttles`;
    }
  });

  it('name requests by the pattern of their route, never by what is in the path', async () => {
    const api = service.api();
    const one = await traced((headers) =>
      api.request('DELETE', '/api/auth/sessions/0198a000-0000-7000-8000-00000000cafe', { token: person.accessToken, headers }),
    );
    expect(one.server.name).toBe('DELETE /api/auth/sessions/:id');
    const none = await traced((headers) => fetch(`${service.origin}/nowhere/canary-path?x=canary-query`, { headers }));
    expect(none.server.name).toBe('GET');
    expect(JSON.stringify(collected.received)).not.toContain('canary-');
    expect(JSON.stringify(collected.received)).not.toContain('00000000cafe');
  });

  it('leave out what probes ask all day', async () => {
    for (const path of ['/health', '/health/live', '/health/ready'])
      await fetch(service.origin + path, { headers: { 'x-request-id': 'probe' } });
    await traced(loginOf(PASSWORD));
    expect(collected.spans.filter(({ attributes }) => attributes['latchkey.request_id'] === 'probe')).toEqual([]);
  });

  it('go on from a proxy that TRUST_PROXY names, and only point at what anybody else says', async () => {
    const traceId = randomBytes(16).toString('hex');
    const spanId = randomBytes(8).toString('hex');
    const headers = { traceparent: `00-${traceId}-${spanId}-01` };
    const trusted = await traced(
      (more) => fetch(`${service.origin}/api/auth/me`, { headers: { ...more, 'x-forwarded-for': '203.0.113.7' } }),
      headers,
    );
    expect(trusted.server).toMatchObject({ traceId, parentSpanId: spanId, links: [] });
    const stranger = await traced((more) => fetch(`${service.origin}/api/auth/me`, { headers: more }), headers);
    expect(stranger.server.traceId).not.toBe(traceId);
    expect(stranger.server).toMatchObject({ parentSpanId: undefined, links: [{ traceId, spanId }] });
  });

  it('are kept although a caller says that they should not be', async () => {
    const headers = {
      traceparent: `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-00`,
      'x-forwarded-for': '203.0.113.7',
    };
    await traced((more) => fetch(`${service.origin}/api/auth/me`, { headers: more }), headers);
  });

  it('take no notice of a traceparent that is none', async () => {
    const none = [
      'rubbish',
      `00-${'0'.repeat(32)}-${'a'.repeat(16)}-01`,
      `00-${'a'.repeat(32)}-${'0'.repeat(16)}-01`,
      `00-${'A'.repeat(32)}-${'a'.repeat(16)}-01`,
      `ff-${'a'.repeat(32)}-${'a'.repeat(16)}-01`,
      `00-${'a'.repeat(32)}-${'a'.repeat(16)}-01-more`,
    ];
    const me = (headers: Record<string, string>) => fetch(`${service.origin}/api/auth/me`, { headers });
    const asked = none.map((traceparent) => traced(me, { traceparent, 'x-forwarded-for': '203.0.113.7' }));
    for (const { server } of await Promise.all(asked)) {
      expect(server).toMatchObject({ parentSpanId: undefined, links: [] });
      expect(server.traceId).not.toMatch(/^a+$/);
    }
  });

  it('end for clients that leave before their answer too', async () => {
    const requestId = randomBytes(8).toString('hex');
    const leaving = new AbortController();
    const hold = await service.sql.reserve();
    await hold`begin`;
    await hold`lock table login_throttles`;
    const asked = fetch(`${service.origin}/api/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': requestId },
      body: JSON.stringify({ email: newEmail(), password: PASSWORD }),
      signal: leaving.signal,
    }).catch(() => null);
    await until('it waits for the lock', async () => {
      const [row] = await service.sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      return row !== undefined;
    });
    leaving.abort();
    await asked;
    const span = await until('it ended', () => collected.spans.find(({ attributes }) => attributes['latchkey.request_id'] === requestId));
    await hold`rollback`;
    hold.release();
    expect(span).toMatchObject({ isError: true, attributes: { 'error.type': 'client left' } });
    expect(lines.find(({ reqId, msg }) => reqId === requestId && msg === 'request')).toMatchObject({ status: 499 });
  });

  it('show each message that is delivered, in a trace of its own', async () => {
    const before = collected.spans.length;
    await service.api().post('/api/auth/forgot-password', { email: person.email });
    await service.mail.token(person.email, 'reset-password');
    const span = await until('it is there', () =>
      collected.spans
        .slice(before)
        .find(({ name, attributes }) => name === 'outbox deliver' && attributes['latchkey.message.kind'] === 'email'),
    );
    expect(span).toMatchObject({
      kind: 5,
      parentSpanId: undefined,
      isError: false,
      attributes: { 'latchkey.message.template': 'reset-password' },
    });
    const children = await until('its parts are there', () => {
      const names = childrenOf(collected.spans, span);
      return names.length >= 2 && names;
    });
    expect(children).toEqual(expect.arrayContaining(['delivery send', 'postgres outbox.markSent']));
  });

  it('begin nowhere but at requests and messages: what polls all day makes none', () => {
    const first = collected.spans.filter(({ parentSpanId, links }) => parentSpanId === undefined && links.length === 0);
    expect(new Set(first.filter(({ kind }) => kind !== 2).map(({ name }) => name))).toEqual(new Set(['outbox deliver']));
  });

  it('say who sends them, with the headers that the collector wants', () => {
    expect(collected.resource).toMatchObject({ 'service.name': 'latchkey', 'service.version': expect.stringMatching(/^\d+\./) });
    for (const { path, headers } of collected.received) {
      expect(path).toBe('/v1/traces');
      expect(headers).toMatchObject({ 'x-api-key': 'a key', 'x-team': 'auth', 'content-type': 'application/json' });
    }
  });

  it('hold no password, token, code, address of mail or network, nor a name [V16.2.5]', async () => {
    const api = service.api({ ip: '203.0.113.77', userAgent: 'Canary-Browser/1.0' });
    const other = await personWithTotp(service);
    const preAuth = await preAuthOf(api, other);
    const finished = tokensOf(await verifyMfa(api, preAuth, 'totp', nextCode(service, other)));
    await verifyMfa(api, await preAuthOf(api, other), 'recovery_code', other.recoveryCodes[0] ?? '');
    await api.request('GET', `/api/auth/me?token=${person.accessToken}&email=${person.email}`, { token: person.accessToken });
    await api.request('POST', `/api/auth/reset-password?password=${OTHER_PASSWORD}`, {
      body: { token: 'x'.repeat(43), new_password: OTHER_PASSWORD },
    });
    await traced(loginOf('wrong horse battery'));
    const sent = collected.received.map(({ body }) => body).join('\n');
    const values = {
      ...{ password: PASSWORD, other: OTHER_PASSWORD, access: person.accessToken, refresh: person.refreshToken, session: person.sessionId },
      ...{ email: person.email, username: person.username, account: person.id, ip: '203.0.113', agent: 'Canary-Browser' },
      ...{ preAuth, newAccess: finished.accessToken, newRefresh: finished.refreshToken, mailed: other.email, totp: other.secret },
      ...{ recovery: other.recoveryCodes[0] ?? 'none was made' },
    };
    for (const [name, value] of Object.entries(values)) expect(sent.includes(value), name).toBe(false);
  });
});

describe('log lines', () => {
  it('carry the id of the request and of its trace, and the event keeps the id of the request', async () => {
    const { requestId, server } = await traced(loginOf('wrong horse battery'));
    const line = lines.find(({ reqId, msg }) => reqId === requestId && msg === 'request');
    expect(line).toMatchObject({ trace_id: server.traceId, span_id: server.spanId, status: 401, route: '/api/auth/login' });
    const [event] = await service.sql`select type from audit_events where request_id = ${requestId}`;
    expect(event).toMatchObject({ type: 'LOGIN_FAILED' });
  });

  it('of what went wrong inside a request carry them too', async () => {
    await service.sql`alter table sessions rename to sessions_gone`;
    try {
      const { requestId, server } = await traced((headers) =>
        service.api().request('GET', '/api/auth/me', { token: person.accessToken, headers }),
      );
      const line = lines.find(({ reqId, msg }) => reqId === requestId && msg === 'request failed');
      expect(line).toMatchObject({ trace_id: server.traceId });
    } finally {
      await service.sql`alter table sessions_gone rename to sessions`;
    }
  });

  it('of requests that come at once are not mixed up', async () => {
    const asked = await Promise.all(Array.from({ length: 20 }, () => traced(loginOf(PASSWORD))));
    for (const { requestId, server } of asked) {
      expect(lines.find(({ reqId, msg }) => reqId === requestId && msg === 'request')).toMatchObject({ trace_id: server.traceId });
    }
    expect(new Set(asked.map(({ server }) => server.traceId)).size).toBe(20);
  });
});

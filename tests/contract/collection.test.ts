import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { documentOfAllRoutes } from '#cli/documented-routes.ts';
import { type OpenApi, postmanCollection } from '#cli/postman.ts';
import type { Environment } from '#src/config.ts';
import { holderOf } from '#tests/support/admins.ts';
import { type CognitoStub, cognitoStub } from '#tests/support/cognito-stub.ts';
import { codeOf, openapiCheck } from '#tests/support/openapi-check.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { serviceClient } from '#tests/support/service-clients.ts';

/** The collection for Postman and Bruno as it stands in docs/, run by newman against this service. */

const FILE = 'docs/latchkey.postman_collection.json';
const METRICS_TOKEN = 'the token of the tests for metrics';
const POOL = { COGNITO_USER_POOL_ID: 'eu-central-1_None', COGNITO_CLIENT_ID: 'none' };
const TOUR = 'From registration to sign-out';

type Item = { name: string; request: { method: string; url: { path: string[] }; body?: { raw: string } } };
type Folder = { name: string; item: Item[] };
type Execution = {
  item: Item;
  request: { method: string; url: { path: string[] } };
  response: { code: number; header: { key: string; value: string }[]; stream: { data: number[] } };
};
type Report = { run: { executions: Execution[]; failures: { error: { test: string; message: string }; source: { name: string } }[] } };

const collection = JSON.parse(readFileSync(FILE, 'utf8')) as { item: Folder[]; info: { schema: string } };
const tour = collection.item.find(({ name }) => name === TOUR)?.item ?? [];
const rest = collection.item.filter(({ name }) => name !== TOUR).flatMap(({ item }) => item);
const template = ({ request: { method, url } }: Item) => `${method} /${url.path.map((part) => part.replace(/^:(\w+)$/, '{$1}')).join('/')}`;

let pool: CognitoStub;
let service: TestService;
let document: OpenApi;
let executions: Execution[];
let failures: Report['run']['failures'];

beforeAll(async () => {
  pool = await cognitoStub();
  service = await startService({ settings: { METRICS_TOKEN, AUTH_PROVIDER: 'both', ...pool.settings } });
  document = service.app.swagger() as unknown as OpenApi;
  const client = await serviceClient(service);
  const variables = {
    baseUrl: service.origin,
    adminToken: await adminToken(),
    clientId: client.id,
    clientSecret: client.secret,
    metricsToken: METRICS_TOKEN,
    cognitoToken: await pool.idToken(pool.add()),
  };
  ({ executions, failures } = await run(variables));
}, 240_000);
afterAll(async () => {
  await service.stop();
  await pool.stop();
});

/** @param only the names of the requests; none: all of them */
async function run(variables: Record<string, string>, only: string[] = []): Promise<Report['run']> {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-newman-'));
  const report = path.join(folder, 'report.json');
  const given = Object.entries(variables).flatMap(([name, value]) => ['--env-var', `${name}=${value}`]);
  const chosen = only.flatMap((name) => ['--folder', name]);
  const args = ['run', FILE, ...chosen, ...given, '--reporters', 'json', '--reporter-json-export', report, '--suppress-exit-code'];
  await promisify(execFile)('node_modules/.bin/newman', args, { maxBuffer: 50_000_000 });
  const made = (JSON.parse(readFileSync(report, 'utf8')) as Report).run;
  rmSync(folder, { recursive: true });
  return made;
}

async function adminToken(): Promise<string> {
  const { refreshToken } = await holderOf(service, 'admin');
  const answer = await service.api().post('/api/auth/refresh', { refresh_token: refreshToken });
  return answer.body.access_token;
}

const answered = (name: string) => executions.filter(({ item }) => item.name === name).map(({ response }) => response.code);

describe('the collection', () => {
  it('holds every route of the document once, but for the deprecated ones', () => {
    const routes = Object.entries(document.paths).flatMap(([url, methods]) =>
      Object.entries(methods).flatMap(([method, { deprecated }]) => (deprecated ? [] : [`${method.toUpperCase()} ${url}`])),
    );
    expect(routes.length).toBeGreaterThan(60);
    expect(rest.map(template).sort()).toEqual(routes.sort());
  });

  it.each<[string, Environment]>([
    ['with its own users alone', {}],
    ['with the users of a pool alone', { AUTH_PROVIDER: 'cognito', ...POOL }],
    ['that drains a pool', { COGNITO_MIGRATE: 'true', ...POOL }],
    ['with all that can be opened', { AUTH_PROVIDER: 'both', METRICS_TOKEN, ...POOL }],
    ['that only works in the background', { ROLE: 'worker' }],
    ['as strict as can be', { SECURITY_PROFILE: 'strict', SMS_MFA: 'false' }],
  ])('holds every route of a service %s', async (_what, settings) => {
    const other = await startService({ settings, database: service.database });
    try {
      const mounted = other.routes.filter(({ hidden }) => !hidden).map(({ method, path }) => `${method} ${path}`);
      expect(mounted.length).toBeGreaterThan(5);
      const held = new Set(rest.map(template));
      expect(mounted.filter((each) => !held.has(each))).toEqual([]);
    } finally {
      await other.stop();
    }
  });

  it('is made from a document of all routes, those of other providers too', () => {
    expect(Object.keys(documentOfAllRoutes().paths)).toEqual(expect.arrayContaining(['/api/auth/exchange', '/metrics', '/dev/mailbox']));
    expect(answered('Trade a token of AWS Cognito for a session')).toEqual([200]);
  });

  it('fails nowhere for what the settings of a service leave out', async () => {
    const native = await startService({ database: service.database });
    try {
      const names = ['Trade a token of AWS Cognito for a session', 'Counters for Prometheus'];
      const made = await run({ baseUrl: native.origin }, names);
      expect(made.executions.map(({ item, response }) => [item.name, response.code])).toEqual(names.map((name) => [name, 404]));
      expect(made.failures).toEqual([]);
    } finally {
      await native.stop();
    }
  });

  it('takes up a route that is new, and has none that is gone', () => {
    const { '/health': health, ...others } = document.paths;
    const changed = { ...document, paths: { ...others, '/api/auth/new-route': health ?? {} } };
    const { item } = postmanCollection(changed) as { item: Folder[] };
    const held = item.filter(({ name }) => name !== TOUR).flatMap((folder) => folder.item.map(template));
    expect(held).toContain('GET /api/auth/new-route');
    expect(held).not.toContain('GET /health');
    expect(held).toHaveLength(rest.length);
  });

  it('leads from registration to sign-out', () => {
    expect(tour.map(template)).toEqual([
      'POST /api/auth/register',
      'GET /dev/mailbox',
      'POST /api/auth/verify-email',
      'POST /api/auth/login',
      'GET /api/auth/me',
      'POST /api/auth/refresh',
      'POST /api/auth/logout',
    ]);
    expect(tour.map(({ name }) => answered(name).at(-1))).toEqual([201, 200, 200, 200, 200, 200, 204]);
  });

  it('holds what it says of itself: no test in it fails, and every request was made', () => {
    expect(failures.map(({ error, source }) => `${source.name}: ${error.test}: ${error.message}`)).toEqual([]);
    const made = new Set(executions.map(({ item }) => template(item)));
    expect(rest.map(template).filter((each) => !made.has(each))).toEqual([]);
  });

  it('is answered as the document says, to the body', () => {
    const check = openapiCheck(document as never);
    for (const { request, response } of executions) {
      const text = Buffer.from(response.stream.data).toString('utf8');
      const headers = Object.fromEntries(response.header.map(({ key, value }) => [key.toLowerCase(), value]));
      const body = /\bjson\b/.test(headers['content-type'] ?? '') && text !== '' ? JSON.parse(text) : {};
      check({ method: request.method, path: `/${request.url.path.join('/')}`, status: response.code, headers, text, body });
    }
  });

  it('sends examples that are well formed: the most succeed, and none has a field that is wrong', () => {
    const outcome = executions.map(({ item, response }) => {
      const text = Buffer.from(response.stream.data).toString('utf8');
      return {
        route: template(item),
        code: response.code,
        problem: response.code >= 400 && response.code !== 503 ? codeOf(JSON.parse(text)) : '',
      };
    });
    expect(outcome.filter(({ problem }) => problem === 'invalid-request')).toEqual([]);
    const became = Object.fromEntries(outcome.map(({ route, code }) => [route, code]));
    expect(became).toMatchObject({
      'POST /api/auth/exchange': 200,
      'POST /api/auth/revoke': 200,
      'DELETE /api/auth/sessions/{id}': 204,
      'DELETE /api/auth/me': 204,
    });
    expect(outcome.filter(({ code }) => code < 300).length / outcome.length).toBeGreaterThan(0.6);
  });
});

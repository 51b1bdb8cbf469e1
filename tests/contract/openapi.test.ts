import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
beforeAll(async () => {
  // With every route that a setting can open.
  const pool = { COGNITO_USER_POOL_ID: 'eu-central-1_None', COGNITO_CLIENT_ID: 'none' };
  service = await startService({ settings: { AUTH_PROVIDER: 'both', METRICS_TOKEN: 'the token of the tests for metrics', ...pool } });
});
afterAll(() => service.stop());

/** Formats whose texts cannot be long; `password` or `email` says nothing of that. */
const SHORT_FORMATS = ['uuid', 'date-time', 'ipv4', 'ipv6'];

type Schema = { type?: unknown; format?: unknown; maxLength?: unknown; maxItems?: unknown; enum?: unknown; const?: unknown };

function isBounded(schema: Schema): boolean {
  const types = [schema.type].flat();
  if (types.includes('array') && typeof schema.maxItems !== 'number') return false;
  if (!types.includes('string') || 'enum' in schema || 'const' in schema) return true;
  return typeof schema.maxLength === 'number' || SHORT_FORMATS.includes(String(schema.format));
}

describe('the OpenAPI document', () => {
  it('is valid under the recommended rules of redocly', () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'latchkey-openapi-'));
    const file = path.join(dir, 'openapi.json');
    writeFileSync(file, JSON.stringify(service.app.swagger()));
    const lint = execFileSync('node_modules/.bin/redocly', ['lint', file, '--format=json'], {
      encoding: 'utf8',
      env: { ...process.env, REDOCLY_TELEMETRY: 'off', CI: 'true' },
    });
    const { totals } = JSON.parse(lint.slice(lint.indexOf('{'))) as { totals: { errors: number } };
    expect(totals.errors).toBe(0);
  });

  it('[V2.1.1] bounds every text and list that a request may carry', () => {
    const unbounded: string[] = [];
    const walk = (schema: unknown, at: string): void => {
      if (typeof schema !== 'object' || schema === null) return;
      if (!isBounded(schema)) unbounded.push(at);
      if ('$ref' in schema) walk(components.schemas[String(schema.$ref).replace('#/components/schemas/', '')], `${at}/${schema.$ref}`);
      for (const [name, member] of Object.entries(schema)) walk(member, `${at}/${name}`);
    };
    const { paths, components } = service.app.swagger() as unknown as {
      paths: Record<string, Record<string, { requestBody?: unknown; parameters?: unknown }>>;
      components: { schemas: Record<string, unknown> };
    };
    for (const [url, methods] of Object.entries(paths)) {
      for (const [method, { requestBody, parameters }] of Object.entries(methods)) {
        walk(requestBody, `${method} ${url}`);
        walk(parameters, `${method} ${url}`);
      }
    }
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/api/auth/exchange', '/metrics', '/openapi.json']));
    expect(unbounded).toEqual([]);
  });

  it('marks the paths of the replaced systems as deprecated, and ours as not', () => {
    const { paths } = service.app.swagger() as unknown as { paths: Record<string, { post?: { deprecated?: boolean } }> };
    for (const alias of [
      '/api/v1/auth/login',
      '/auth/login',
      '/api/v1/auth/password-reset',
      '/api/v1/auth/password-reset/verify',
      '/api/v1/auth/email/verify',
    ]) {
      expect(paths[alias]?.post?.deprecated, alias).toBe(true);
    }
    expect(paths['/api/auth/login']?.post?.deprecated).toBeUndefined();
  });

  it('is served to programs, and to people on a page whose scripts our own policy allows [V3.4.3]', async () => {
    const document = await fetch(`${service.origin}/openapi.json`);
    expect(await document.json()).toEqual(service.app.swagger());
    for (const path of ['/docs/json', '/docs/yaml']) {
      const madeAnew = await fetch(`${service.origin}${path}`);
      expect(madeAnew.status, path).toBe(404);
      await madeAnew.bytes();
    }
    const page = await fetch(`${service.origin}/docs/`);
    const html = await page.text();
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    const scripts = [...html.matchAll(/<script([^>]*)>([^<]*)/g)];
    expect(scripts.length).toBeGreaterThan(0);
    for (const [, attributes = '', inline = ''] of scripts) {
      expect(inline.trim()).toBe('');
      const source = /src="([^"]+)"/.exec(attributes)?.[1] ?? '';
      const script = await fetch(new URL(source, `${service.origin}/docs/`));
      expect(script.status, source).toBe(200);
      await script.bytes(); // a body that nobody reads holds its connection open, and the service waits for it when it stops
    }
  });
});

import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { latchkey } from '#cli/latchkey.ts';
import { loadConfig } from '#src/config.ts';

/** `latchkey setup --secrets`: what docker-compose.yml runs once, and what a Secret of Kubernetes is made from. */
const URLS = ['--database-url', 'postgres://latchkey@postgres:5432/latchkey', '--redis-url', 'redis://redis:6379'];

let dir: string;
let said: string[];
beforeEach(() => {
  dir = path.join(mkdtempSync(path.join(tmpdir(), 'latchkey-secrets-')), 'made');
  said = [];
});
afterEach(() => rmSync(path.dirname(dir), { recursive: true, force: true }));

const out = { print: (line: string) => void said.push(line), complain: (line: string) => void said.push(line) };
const setup = (...args: string[]) => latchkey(['setup', '--secrets', dir, ...args], out);
const read = (name: string) => readFileSync(path.join(dir, name), 'utf8');
const mode = (name: string) => statSync(path.join(dir, name)).mode & 0o777;

describe('the files of latchkey setup --secrets', () => {
  it('are what production asks for, and none of them is printed', async () => {
    expect(await setup(...URLS)).toBe(0);
    const config = loadConfig({
      NODE_ENV: 'production',
      ISSUER: 'https://auth.example.com',
      FRONTEND_URL: 'https://auth.example.com',
      SECRET_KEY_FILE: path.join(dir, 'secret-key'),
      FERNET_KEY_FILE: path.join(dir, 'fernet-key'),
      DATABASE_URL_FILE: path.join(dir, 'database-url'),
      REDIS_URL_FILE: path.join(dir, 'redis-url'),
      KEYS_DIR: path.join(dir, 'keys'),
      EMAIL_PROVIDER: 'smtp',
      SMTP_HOST: 'mail.example.com',
      EMAILS_FROM_EMAIL: 'no-reply@example.com',
      SMS_MFA: 'false',
    });
    expect(config.DATABASE_URL?.reveal()).toBe(`postgres://latchkey:${read('postgres/password')}@postgres:5432/latchkey`);
    expect(config.REDIS_URL?.reveal()).toBe(`redis://:${read('redis-password')}@redis:6379`);
    expect(read('redis/redis.conf')).toBe(`requirepass ${read('redis-password')}\n`);
    for (const name of ['secret-key', 'database-password', 'redis-password']) expect(said.join('\n')).not.toContain(read(name));
  });

  it('can be read by their owner alone, but for what the other containers get', async () => {
    await setup(...URLS);
    for (const name of ['secret-key', 'fernet-key', 'database-url', 'redis-url']) expect(mode(name)).toBe(0o600);
    for (const name of ['postgres/password', 'redis/redis.conf']) expect(mode(name)).toBe(0o644);
  });

  it('stay as they are when it runs again', async () => {
    await setup(...URLS);
    const before = ['secret-key', 'fernet-key', 'database-url', 'redis-url', 'keys/manifest.json'].map(read);
    await setup(...URLS);
    expect(['secret-key', 'fernet-key', 'database-url', 'redis-url', 'keys/manifest.json'].map(read)).toEqual(before);
  });

  it('are not made from URLs that already hold a password, or hold none of a URL', async () => {
    expect(await setup('--redis-url', 'redis://:known@redis')).toBe(2);
    expect(await setup('--database-url', 'postgres')).toBe(2);
    expect(await latchkey(['setup', '--redis-url', 'redis://redis'], out)).toBe(2);
  });
});

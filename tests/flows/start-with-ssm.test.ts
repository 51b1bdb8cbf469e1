import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { newFernetKey } from '#infrastructure/crypto/fernet.ts';
import { generateKeyPem, signingKey } from '#infrastructure/crypto/signing-key.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { serviceProcess } from '#tests/support/process.ts';
import { fakeSsm, type Ssm } from '#tests/support/ssm.ts';

const AWS = { accessKeyId: 'AKIDOFTHETESTS', secretAccessKey: 'a secret of the tests' };
const REGION = 'eu-west-3';
const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
const pem = generateKeyPem('PS256');

let ssm: Ssm;
let database: TestDatabase;
let folder: string;
let settings: Record<string, string>;
beforeAll(async () => {
  [ssm, database] = await Promise.all([fakeSsm(REGION, AWS), testDatabase()]);
  folder = mkdtempSync(path.join(tmpdir(), 'latchkey-start-ssm-'));
  ssm.parameters.set('/auth-service/jwt/private-key', pem);
  ssm.parameters.set('/auth-service/jwt/public-key', createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString());
  ssm.parameters.set('/auth-service/encryption/fernet-key', newFernetKey());
  settings = {
    NODE_ENV: 'production',
    ISSUER: 'https://auth.example.com',
    FRONTEND_URL: 'https://app.example.com',
    ALLOWED_HOSTS: '127.0.0.1',
    REDIS_URL: inject('redisUrl') ?? 'redis://127.0.0.1:1',
    REDIS_OPTIONAL: 'true',
    EMAIL_PROVIDER: 'smtp',
    SMTP_HOST: '127.0.0.1',
    SMTP_PORT: '1',
    EMAILS_FROM_EMAIL: 'no-reply@example.com',
    SMS_MFA: 'false',
    KEYS_DIR: path.join(folder, 'keys'), // as the image sets it, with nothing in it
    FERNET_KEY: '',
    JWT_ALGORITHM: 'PS256',
    AWS_SSM_ENABLED: 'true',
    AWS_REGION: REGION,
    AWS_ENDPOINT_URL: ssm.endpoint,
    AWS_ACCESS_KEY_ID: AWS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: AWS.secretAccessKey,
    LOG_LEVEL: 'info',
  };
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await ssm.stop();
  await database.drop();
});

describe('a start in production with AWS_SSM_ENABLED', () => {
  it('[V13.3.1] signs with the key that SSM keeps, though none is on this machine, and prints none of it', {
    timeout: 60_000,
  }, async () => {
    ssm.failNext([500, 'InternalServerError']); // and it tries again
    const window = { LEGACY_HS256_SECRET: 'the HS256 secret of the old service, long enough', LEGACY_TOKENS_UNTIL: tomorrow };
    const service = await serviceProcess(database.address, { ...settings, ...window });
    try {
      const jwks = (await (await fetch(`${service.origin}/.well-known/jwks.json`)).json()) as { keys: { kid: string }[] };
      expect(jwks.keys.map(({ kid }) => kid)).toEqual([signingKey(pem, 'PS256').kid]);
    } finally {
      await service.stop();
    }
    expect(service.said()).toContain('"settings":["JWT_PRIVATE_KEY","JWT_PUBLIC_KEY","FERNET_KEY"]');
    expect(service.said()).toContain(`Access tokens of the old issuer read here until ${tomorrow}`); // and it warns of open windows
    expect(service.said()).not.toContain('long enough');
    for (const value of ssm.parameters.values()) expect(service.said()).not.toContain(value.split('\n')[1] ?? value);
  });

  it('ends with a message that names what SSM does not have', { timeout: 60_000 }, async () => {
    const kept = ssm.parameters.get('/auth-service/jwt/public-key') ?? '';
    ssm.parameters.delete('/auth-service/jwt/public-key');
    try {
      await expect(serviceProcess(database.address, settings)).rejects.toThrow('SSM has no /auth-service/jwt/public-key in eu-west-3');
    } finally {
      ssm.parameters.set('/auth-service/jwt/public-key', kept);
    }
  });

  it('has commands that read stored secrets ask for the one that they need', { timeout: 60_000 }, async () => {
    ssm.asked.length = 0;
    const { code, out, err } = await latchkeyProcess(database.address, ['secrets', 'reencrypt'], settings).ended;
    expect({ code, out, err }).toEqual({ code: 0, out: '0 of 0 secrets encrypted anew\n', err: '' });
    expect(ssm.asked).toEqual([['/auth-service/encryption/fernet-key']]);
  });
});

import { spawn } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ALGORITHMS, type Algorithm, generateKeyPem } from '#infrastructure/crypto/signing-key.ts';
import type { Environment } from '#src/config.ts';
import { loadServiceConfig } from '#src/ssm-settings.ts';
import { type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { type Person, signIn, tokensOf, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { hasPythonModule, PYTHON } from '#tests/support/programs.ts';
import { startService } from '#tests/support/service.ts';
import { fakeSsm } from '#tests/support/ssm.ts';

/** Tokens of every algorithm, by keys from every place, through a verifier that we did not write: PyJWT, as Debian ships it. */

const AWS = { accessKeyId: 'AKIDOFTHETESTS', secretAccessKey: 'a secret of the tests' };
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-pyjwt-'));
let database: TestDatabase;
let person: Person;
beforeAll(async () => {
  database = await testDatabase();
  const service = await startService({ database });
  person = await verifiedPerson(service);
  await service.stop();
});
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

type Source = (alg: Algorithm) => Promise<Environment>;

function file(name: string, content: string): string {
  const where = path.join(folder, name);
  writeFileSync(where, content);
  return where;
}
const publicOf = (pem: string) => createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString();

const SOURCES: Record<string, Source> = {
  'a folder': async (alg) => ({ KEYS_DIR: path.join(folder, alg) }),
  'the environment, in one line': async (alg) => ({ JWT_PRIVATE_KEY: generateKeyPem(alg).replaceAll('\n', '\\n') }),
  files: async (alg) => {
    const pem = generateKeyPem(alg);
    return { JWT_PRIVATE_KEY_FILE: file(`${alg}.pem`, pem), JWT_PUBLIC_KEY_FILE: file(`${alg}.pub`, publicOf(pem)) };
  },
  SSM: async (alg) => {
    const ssm = await fakeSsm('us-east-1', AWS);
    vi.stubEnv('AWS_ACCESS_KEY_ID', AWS.accessKeyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', AWS.secretAccessKey);
    try {
      const pem = generateKeyPem(alg);
      ssm.parameters.set('/auth-service/jwt/private-key', pem);
      ssm.parameters.set('/auth-service/jwt/public-key', publicOf(pem));
      const asked = { AWS_SSM_ENABLED: 'true', AWS_ENDPOINT_URL: ssm.endpoint, FERNET_KEY: 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=' };
      const { JWT_PRIVATE_KEY, JWT_PUBLIC_KEY } = await loadServiceConfig(asked);
      return { JWT_PRIVATE_KEY: JWT_PRIVATE_KEY?.reveal(), JWT_PUBLIC_KEY };
    } finally {
      vi.unstubAllEnvs();
      await ssm.stop();
    }
  },
};

/** What PyJWT makes of a token and of its forgeries: claims, or the name of its refusal. */
function pyjwt(asked: object): Promise<(Record<string, unknown> | string)[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(PYTHON, ['tests/support/pyjwt.py'], { stdio: ['pipe', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(JSON.parse(out)) : reject(new Error(err))));
    child.stdin.end(JSON.stringify(asked));
  });
}

const cases = ALGORITHMS.flatMap((alg) => Object.entries(SOURCES).map(([name, source]) => ({ alg, name, source })));

describe.runIf(hasPythonModule('jwt'))('PyJWT, as another service would use it,', () => {
  it.each(cases)('[V9.1.1] verifies $alg by a key from $name, and nothing that was changed', async ({ alg, source }) => {
    const service = await startService({
      database,
      settings: { JWT_ALGORITHM: alg, ISSUER: 'https://auth.example.com', ...(await source(alg)) },
    });
    try {
      const { accessToken } = await signIn(service.api(), person);
      const [head = '', body = '', tail = ''] = accessToken.split('.');
      const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
      const admin = Buffer.from(JSON.stringify({ ...claims, roles: ['admin'] })).toString('base64url');
      const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt' })).toString('base64url');
      const other = tokensOf(await tryLogin(service.api(), person)).accessToken.split('.')[2] ?? '';
      const forged = [`${head}.${admin}.${tail}`, `${none}.${admin}.`, `${head}.${body}.${other}`];
      const jwksUri = `${service.origin}/.well-known/jwks.json`;
      const [verified, ...refused] = await pyjwt({
        alg,
        token: accessToken,
        forged,
        jwks_uri: jwksUri,
        issuer: 'https://auth.example.com',
      });
      expect(verified).toEqual(claims);
      expect(claims).toMatchObject({ sub: person.id, iss: 'https://auth.example.com' });
      expect(JSON.parse(Buffer.from(head, 'base64url').toString())).toMatchObject({ alg });
      expect(refused).toEqual(['InvalidSignatureError', 'InvalidAlgorithmError', 'InvalidSignatureError']);
    } finally {
      await service.stop();
    }
  });
});

import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKeyFolder } from '#infrastructure/crypto/key-folder.ts';
import { generateKeyPem } from '#infrastructure/crypto/signing-key.ts';
import { SsmMistake } from '#infrastructure/ssm/parameters.ts';
import { ConfigMistakes, type Environment } from '#src/config.ts';
import { loadCommandConfig, loadServiceConfig } from '#src/ssm-settings.ts';
import { fakeSsm, type Ssm } from '#tests/support/ssm.ts';

const REGION = 'eu-central-1';
const AWS = { accessKeyId: 'AKIDOFTHETESTS', secretAccessKey: 'a secret of the tests' };
const PRIVATE = '/auth-service/jwt/private-key';
const PUBLIC = '/auth-service/jwt/public-key';
const FERNET = '/auth-service/encryption/fernet-key';
const PEM = generateKeyPem('ES256');
const PUBLIC_PEM = createPublicKey(PEM).export({ type: 'spki', format: 'pem' }).toString();
const FERNET_KEY = 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=';

const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-ssm-'));
let ssm: Ssm;
let environment: Environment;
beforeAll(() => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', AWS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', AWS.secretAccessKey);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  ssm = await fakeSsm(REGION, AWS);
  for (const [name, value] of [
    [PRIVATE, PEM],
    [PUBLIC, PUBLIC_PEM],
    [FERNET, FERNET_KEY],
  ] as const)
    ssm.parameters.set(name, value);
  environment = { AWS_SSM_ENABLED: 'true', AWS_REGION: REGION, AWS_ENDPOINT_URL: ssm.endpoint };
});
afterEach(() => ssm.stop());

const failure = async (given: Environment = environment): Promise<string> => {
  const error = await loadServiceConfig(given).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(SsmMistake);
  const shown = inspect(error, { depth: 9 });
  for (const secret of [FERNET_KEY, PEM.split('\n')[1] ?? PEM, AWS.secretAccessKey]) expect(shown).not.toContain(secret);
  return (error as SsmMistake).message;
};

describe('with AWS_SSM_ENABLED', () => {
  it('[V13.3.1] the three secrets are read, decrypted, in one signed request, and shown by nothing', async () => {
    const config = await loadServiceConfig(environment);
    expect(ssm.asked).toEqual([[PRIVATE, PUBLIC, FERNET]]);
    expect(config.JWT_PRIVATE_KEY?.reveal()).toBe(PEM);
    expect(config.JWT_PUBLIC_KEY).toBe(PUBLIC_PEM);
    expect(config.FERNET_KEY?.reveal()).toBe(FERNET_KEY);
    expect(config.fromSsm).toEqual(['JWT_PRIVATE_KEY', 'JWT_PUBLIC_KEY', 'FERNET_KEY']);
    for (const text of [inspect(config, { depth: 9 }), JSON.stringify(config)]) {
      expect(text).not.toContain(FERNET_KEY);
      expect(text).not.toContain('PRIVATE KEY-');
    }
  });

  it('what is set here wins, as a variable, as a file and as a folder of keys, and is not asked for', async () => {
    const other = 'CL4SfIOuT7Phx80UWvDLqs3gAQlPWBqDrdMxIHi8hUs=';
    expect((await loadServiceConfig({ ...environment, FERNET_KEY: other })).FERNET_KEY?.reveal()).toBe(other);
    const file = path.join(folder, 'private.pem');
    const mine = generateKeyPem('ES256');
    writeFileSync(file, mine);
    expect((await loadServiceConfig({ ...environment, JWT_PRIVATE_KEY_FILE: file })).JWT_PRIVATE_KEY?.reveal()).toBe(mine.trimEnd());
    const keysDir = path.join(folder, 'keys');
    await loadServiceConfig({ ...environment, KEYS_DIR: keysDir }); // no keys in it yet
    createKeyFolder(keysDir, 'ES256', new Date());
    expect((await loadServiceConfig({ ...environment, KEYS_DIR: keysDir })).JWT_PRIVATE_KEY).toBeUndefined();
    expect(ssm.asked).toEqual([[PRIVATE, PUBLIC], [FERNET], [PRIVATE, PUBLIC, FERNET], [FERNET]]);
  });

  it('nothing is asked for while it is off, or when everything is set, or for a command that needs none of it', async () => {
    await loadServiceConfig({ ...environment, AWS_SSM_ENABLED: 'false' });
    await loadServiceConfig({ ...environment, JWT_PRIVATE_KEY: PEM, FERNET_KEY });
    await loadCommandConfig(environment, []);
    expect(ssm.asked).toEqual([]);
    expect((await loadCommandConfig({ ...environment, NODE_ENV: 'production' }, ['FERNET_KEY'])).fromSsm).toEqual(['FERNET_KEY']);
    expect(ssm.asked).toEqual([[FERNET]]);
  });

  it('what is not there is named, all of it', async () => {
    ssm.parameters.delete(PRIVATE);
    ssm.parameters.delete(FERNET);
    expect(await failure()).toBe(`SSM has no ${PRIVATE}, no ${FERNET} in ${REGION}`);
  });

  it('what is not valid is named as of SSM, and not printed', async () => {
    ssm.parameters.set(FERNET, 'too short a key');
    const error: unknown = await loadServiceConfig(environment).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ConfigMistakes);
    expect(String(error)).toContain('FERNET_KEY (of SSM): give 32 bytes');
    expect(String(error)).not.toContain('too short a key');
  });

  it('a refusal is told as one, at once', async () => {
    ssm.failNext([400, 'AccessDeniedException']);
    expect(await failure()).toMatch(/^SSM refused access in eu-central-1 \(AccessDeniedException: .*ssm:GetParameters.*kms:Decrypt/);
    expect(ssm.asked).toHaveLength(1);
  });

  it('credentials of somebody else, for another region or for a request that was changed on its way are refused', async () => {
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'a guess');
    try {
      expect(await failure()).toContain('InvalidSignatureException: the signature is wrong');
    } finally {
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', AWS.secretAccessKey);
    }
    expect(await failure({ ...environment, AWS_REGION: 'us-west-2' })).toContain('it is signed for ssm in us-west-2');
  });

  it('what passes by itself is tried again: throttling, an error of theirs, an answer that does not come', {
    timeout: 20_000,
  }, async () => {
    ssm.failNext([400, 'ThrottlingException'], [500, 'InternalServerError'], 'silence');
    expect((await loadServiceConfig(environment)).FERNET_KEY?.reveal()).toBe(FERNET_KEY);
    expect(ssm.asked).toHaveLength(4);
  });

  it('what does not pass ends the start within its tries', { timeout: 20_000 }, async () => {
    ssm.failNext(...Array.from({ length: 20 }, (): [number, string] => [503, 'ServiceUnavailable']));
    expect(await failure()).toMatch(/^SSM does not answer at http:/);
    expect(ssm.asked).toHaveLength(5);
    await ssm.stop();
    expect(await failure()).toMatch(/^SSM does not answer at http:.*ECONNREFUSED/);
    ssm = await fakeSsm(REGION, AWS);
  });

  it('[V12.3.1] production asks nobody without https who is not this machine', async () => {
    let isAsked = false;
    const listener = createServer(() => {
      isAsked = true;
    });
    await new Promise<void>((resolve) => listener.listen(0, '0.0.0.0', resolve));
    const { port } = listener.address() as { port: number };
    const production = { ...environment, NODE_ENV: 'production', AWS_ENDPOINT_URL: `http://[::ffff:7f00:1]:${port}` };
    await expect(loadServiceConfig(production)).rejects.toThrow('AWS_ENDPOINT_URL: production reads no secret without https');
    await expect(loadCommandConfig(production, ['FERNET_KEY'])).rejects.toThrow('https');
    expect(isAsked).toBe(false);
    listener.close();
  });
});

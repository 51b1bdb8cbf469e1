import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { parse } from 'yaml';
import { latchkey } from '#cli/latchkey.ts';
import { ConfigMistakes, type Environment, loadConfig } from '#src/config.ts';
import { SETTINGS } from '#src/settings.ts';

/** What docs/deploy-aws.md and docker-compose.yml give to a container is what the service takes. The manifests of Kubernetes have a test of their own. */

const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-deployments-'));
afterAll(() => rmSync(folder, { recursive: true }));

const read = (file: string) => readFileSync(file, 'utf8');
const isSetting = (name: string) => Object.hasOwn(SETTINGS, name.replace(/_FILE$/, ''));
const isSecret = (name: string) => 'secret' in (SETTINGS[name as keyof typeof SETTINGS] ?? {});

/** What the image sets by itself. */
function imageEnvironment(): Environment {
  const [, lines = ''] = /^ENV ((?:.*\\\n)*.*)/m.exec(read('Dockerfile')) ?? [];
  return Object.fromEntries([...lines.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]));
}

describe('the task definition for ECS', () => {
  type Container = {
    environment: { name: string; value: string }[];
    secrets: { name: string; valueFrom: string }[];
    mountPoints: { containerPath: string }[];
  };
  const page = read('docs/deploy-aws.md');
  const [, json = ''] = /^`task\.json`.*?^```json\n(.*?)^```$/ms.exec(page) ?? [];
  const [container] = (JSON.parse(json) as { containerDefinitions: Container[] }).containerDefinitions;
  if (!container) throw new Error('there is no container');
  const { environment, secrets, mountPoints } = container;
  const image = imageEnvironment();

  /** As `latchkey setup`, RDS, ElastiCache and SES give them. */
  const VALUES: Record<string, string> = {
    SECRET_KEY: 'q3Yt0cJm1rVwXz5uB7nD9fGhKlPsTaEoRi2y4v6x8zA',
    FERNET_KEY: 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=',
    DATABASE_URL: 'postgres://latchkey:a-password@latchkey.abc.eu-central-1.rds.amazonaws.com/latchkey?sslmode=verify-full',
    REDIS_URL: 'rediss://:a-password@master.latchkey.abc.euc1.cache.amazonaws.com:6379',
    SMTP_USER: 'AKIDOFTHETESTS',
    SMTP_PASSWORD: 'a password of SES',
  };
  const given: Environment = {
    ...image,
    ...Object.fromEntries(environment.map(({ name, value }) => [name, value])),
    ...Object.fromEntries(secrets.map(({ name }) => [name, VALUES[name]])),
    KEYS_DIR: inject('keysDir'),
  };

  it('gives settings alone, but for one of Node, and no secret in the open', () => {
    const names = [...environment, ...secrets].map(({ name }) => name);
    expect(names.filter((name) => !isSetting(name))).toEqual(['NODE_EXTRA_CA_CERTS']);
    expect(environment.filter(({ name }) => isSecret(name))).toEqual([]);
    expect(secrets.filter(({ name }) => VALUES[name] === undefined)).toEqual([]);
  });

  it('is a configuration that production takes, with the keys where they are mounted', () => {
    expect(mountPoints.map(({ containerPath }) => containerPath)).toContain(image['KEYS_DIR']);
    expect(loadConfig(given)).toMatchObject({ isProduction: true, SMTP_HOST: 'email-smtp.eu-central-1.amazonaws.com', METRICS_PORT: 9464 });
  });

  it('asks for secrets that the page has made before', () => {
    const before = page.slice(0, page.indexOf(json));
    const names = secrets.map(({ valueFrom }) => valueFrom.split('/').at(-1) ?? '');
    expect(names.filter((name) => !new RegExp(`[ /]${name}[ ;\`]`).test(before))).toEqual([]);
  });

  it('has none to spare of what production needs', () => {
    for (const name of ['ISSUER', 'FRONTEND_URL', 'SMTP_HOST', 'EMAILS_FROM_EMAIL', 'SMS_MFA', ...Object.keys(VALUES)])
      expect(() => loadConfig({ ...given, [name]: undefined }), name).toThrow(ConfigMistakes);
  });
});

describe('docker-compose.yml', () => {
  type Service = { command: string[]; environment: Record<string, string>; volumes: string[] };
  const { services } = parse(read('docker-compose.yml'), { merge: true }) as { services: Record<'latchkey' | 'secrets', Service> };
  /** As Compose puts in what nobody has set. */
  const environment = Object.fromEntries(
    Object.entries(services.latchkey.environment).map(([name, value]) => [name, value.replace(/\$\{\w+:-([^}]*)\}/g, '$1')]),
  );

  it('gives settings alone, and no secret in the open', () => {
    expect(Object.keys(environment).filter((name) => !isSetting(name))).toEqual([]);
    expect(Object.entries(environment).filter(([name, value]) => isSecret(name) && value !== '')).toEqual([]);
  });

  it('is a configuration that production takes, with the secrets that its own command makes', async () => {
    const here = (text: string) => text.replace('/run/latchkey', folder);
    const [, ...args] = services.secrets.command;
    const said: string[] = [];
    const output = { print: () => {}, complain: (line: string) => void said.push(line) };
    expect(await latchkey(args.map(here), output), said.join('\n')).toBe(0);
    const inFolder = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, here(value)]));
    const config = loadConfig({ ...imageEnvironment(), ...inFolder });
    expect(config).toMatchObject({ isProduction: true, ISSUER: 'https://localhost:3000', SMTP_HOST: 'mailpit' });
    expect(config.DATABASE_URL?.reveal()).toMatch(/^postgres:\/\/latchkey:.+@postgres:5432\/latchkey$/);
    expect(() => loadConfig({ ...imageEnvironment(), ...environment })).toThrow(ConfigMistakes);
  });
});

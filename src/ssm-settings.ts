import path from 'node:path';
import { manifestStamp } from '#infrastructure/crypto/key-folder.ts';
import { type Config, ConfigMistakes, type Environment, givenIn, loadConfig } from './config.ts';
import { SETTINGS } from './settings.ts';

/** Where the replaced services kept what has no place in a file or a variable. */
const PARAMETERS = {
  JWT_PRIVATE_KEY: '/auth-service/jwt/private-key',
  JWT_PUBLIC_KEY: '/auth-service/jwt/public-key',
  FERNET_KEY: '/auth-service/encryption/fernet-key',
} as const;
type FromSsm = keyof typeof PARAMETERS;

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/**
 * All settings, with AWS_SSM_ENABLED those that SSM keeps among them. What is set here wins and is not asked for: a secret by its name or
 * file, and the two of JWT by a KEYS_DIR that is set and holds keys as well.
 * @throws ConfigMistakes, or SsmMistake when SSM does not give them
 */
export function loadServiceConfig(environment: Environment): Promise<Config> {
  return loadWith(environment, askedOfSsm(environment), environment);
}

/** The same for a command that needs these secrets and no others; what production asks of a service is not asked of it. */
export function loadCommandConfig(environment: Environment, needs: readonly FromSsm[]): Promise<Config> {
  const asked = askedOfSsm(environment).filter((name) => needs.includes(name));
  return loadWith(environment, asked, { ...environment, NODE_ENV: undefined });
}

async function loadWith(environment: Environment, asked: readonly FromSsm[], settings: Environment): Promise<Config> {
  return asked.length === 0 ? loadConfig(settings) : loadConfig(settings, await readFromSsm(environment, asked));
}

/**
 * What SSM keeps of these settings, by their names.
 * @throws as `loadServiceConfig`
 */
export async function readFromSsm(
  environment: Environment,
  asked: readonly FromSsm[] = askedOfSsm(environment),
): Promise<Partial<Record<FromSsm, string>>> {
  if (asked.length === 0) return {};
  const where = whereSsmIs(environment);
  // Loaded only where it is used, as every client of AWS.
  const { readParameters } = await import('#infrastructure/ssm/parameters.ts');
  const names = asked.map((name) => PARAMETERS[name]);
  const values = await readParameters(names, where);
  return Object.fromEntries(asked.map((name) => [name, values.get(PARAMETERS[name]) ?? '']));
}

/** The settings that would come from SSM. */
export function askedOfSsm(environment: Environment): FromSsm[] {
  const given = givenIn(environment, []);
  if (given('AWS_SSM_ENABLED') !== 'true') return [];
  const keysDir = given('KEYS_DIR');
  const hasKeys = given('JWT_PRIVATE_KEY') !== undefined || (keysDir !== undefined && manifestStamp(path.resolve(keysDir)) !== null);
  const names = Object.keys(PARAMETERS) as FromSsm[];
  return names.filter((name) => given(name) === undefined && !(hasKeys && name.startsWith('JWT_')));
}

/** @throws ConfigMistakes also for a way on which anybody could read what comes back, in production */
function whereSsmIs(environment: Environment): { region: string; endpoint: string | undefined } {
  const mistakes: string[] = [];
  const given = givenIn(environment, mistakes);
  const region = SETTINGS.AWS_REGION.schema.safeParse(given('AWS_REGION') ?? SETTINGS.AWS_REGION.default);
  const endpoint = SETTINGS.AWS_ENDPOINT_URL.schema.optional().safeParse(given('AWS_ENDPOINT_URL'));
  if (!region.success) mistakes.push(`AWS_REGION: ${region.error.issues[0]?.message}`);
  if (!endpoint.success) mistakes.push(`AWS_ENDPOINT_URL: ${endpoint.error.issues[0]?.message}`);
  const url = endpoint.data === undefined ? null : new URL(endpoint.data);
  const isOpen = url?.protocol === 'http:' && !LOOPBACK.includes(url.hostname);
  if (isOpen && given('NODE_ENV') === 'production') mistakes.push('AWS_ENDPOINT_URL: production reads no secret without https');
  if (!region.success || mistakes.length > 0) throw new ConfigMistakes(mistakes);
  return { region: region.data, endpoint: endpoint.data };
}

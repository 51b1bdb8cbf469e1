import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createKeyFolder } from '#infrastructure/crypto/key-folder.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';
import { loadConfig } from '../config.ts';
import { envExample } from '../settings.ts';
import { askedOfSsm } from '../ssm-settings.ts';
import { type Command, type Output, UsageMistake } from './command.ts';
import { makeSecretFiles } from './secret-files.ts';

/** What a file system says that is mounted to be read, as that of the image, or that belongs to somebody else. */
const NOT_WRITABLE = new Set(['EACCES', 'EPERM', 'EROFS']);

/** What a first start would make, made now: settings to edit, signing keys, the development secret. Or what production needs. */
export const setup: Command = {
  summary: 'make .env, signing keys and the development secret where there are none; or the secrets of production',
  help: `Usage: latchkey setup
       latchkey setup --secrets DIR [--database-url URL] [--redis-url URL]

Makes what is not there and leaves the rest alone: .env as .env.example has it, signing keys in KEYS_DIR, and, unless SECRET_KEY
is set, a secret in DATA_DIR.

--secrets DIR       makes what production needs instead, as files for NAME_FILE settings: secret-key, fernet-key, keys/
--database-url URL  and database-url, from this URL without a password, with a new one; the password alone for PostgreSQL
--redis-url URL     and redis-url, likewise; redis/redis.conf for Redis

Examples:
  latchkey setup && npm start
  latchkey setup --secrets /run/latchkey --database-url postgres://latchkey@postgres/latchkey --redis-url redis://redis`,

  async run(args, out) {
    const { values } = parseArgs({
      args,
      options: { secrets: { type: 'string' }, 'database-url': { type: 'string' }, 'redis-url': { type: 'string' } },
    });
    const { secrets, 'database-url': databaseUrl, 'redis-url': redisUrl } = values;
    if (secrets !== undefined) {
      for (const url of [databaseUrl, redisUrl]) {
        if (url !== undefined && !URL.canParse(url)) throw new UsageMistake('--database-url and --redis-url take URLs.');
        if (url !== undefined && new URL(url).password !== '') throw new UsageMistake('Give the URLs without a password: one is made.');
      }
      const { JWT_ALGORITHM } = loadConfig({ ...process.env, NODE_ENV: undefined });
      for (const name of makeSecretFiles(secrets, { databaseUrl, redisUrl }, JWT_ALGORITHM)) out.print(path.join(secrets, name));
      return 0;
    }
    if (databaseUrl !== undefined || redisUrl !== undefined) throw new UsageMistake('The URLs go with --secrets DIR.');
    try {
      makeForDevelopment(out);
    } catch (error) {
      const { code, path: file } = error as NodeJS.ErrnoException;
      if (file === undefined || !NOT_WRITABLE.has(code ?? '') || existsSync(file)) throw error;
      throw new Error(`${path.resolve(file)} cannot be written: make what production needs elsewhere, with latchkey setup --secrets DIR`, {
        cause: error,
      });
    }
    return 0;
  },
};

function makeForDevelopment(out: Output): void {
  if (existsSync('.env')) out.print('.env is there');
  else {
    writeFileSync('.env', envExample(), { flag: 'wx', mode: 0o600 });
    out.print('.env made, as .env.example has it');
  }
  const config = loadConfig(process.env);
  const elsewhere = askedOfSsm(process.env); // keys made here would win over those that SSM keeps
  if (!config.JWT_PRIVATE_KEY && !elsewhere.includes('JWT_PRIVATE_KEY')) {
    createKeyFolder(config.KEYS_DIR, config.JWT_ALGORITHM, new Date());
    out.print(`signing keys in ${config.KEYS_DIR}`);
  }
  if (!config.SECRET_KEY) {
    generatedSecret(config.DATA_DIR, 'secret-key');
    out.print(`development secret in ${config.DATA_DIR}`);
  }
  if (!config.FERNET_KEY && !elsewhere.includes('FERNET_KEY')) generatedSecret(config.DATA_DIR, 'fernet-key');
}

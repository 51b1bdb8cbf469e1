import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createKeyFolder } from '#infrastructure/crypto/key-folder.ts';
import type { Algorithm } from '#infrastructure/crypto/signing-key.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';

/** Where the stores are, without a password: that is made here. */
export type Stores = { databaseUrl?: string | undefined; redisUrl?: string | undefined };

/**
 * Makes in `dir` what production asks for, each as a file that a setting `NAME_FILE` can name, and leaves alone what is there.
 * What PostgreSQL and Redis must know of it lies in folders of its own, to be mounted where they run and nowhere else: their
 * users are not known here, so everybody who sees those folders can read them.
 * @returns the files, from `dir`
 */
export function makeSecretFiles(dir: string, { databaseUrl, redisUrl }: Stores, alg: Algorithm): string[] {
  generatedSecret(dir, 'secret-key');
  generatedSecret(dir, 'fernet-key');
  createKeyFolder(path.join(dir, 'keys'), alg, new Date());
  const made = ['secret-key', 'fernet-key', 'keys/'];
  const write = (name: string, content: string, mode: number) => {
    writeWhole(path.join(dir, name), content, mode);
    made.push(name);
  };
  if (databaseUrl !== undefined) {
    const password = generatedSecret(dir, 'database-password').toString();
    write('database-url', withPassword(databaseUrl, password), 0o600);
    write('postgres/password', password, 0o644);
  }
  if (redisUrl !== undefined) {
    const password = generatedSecret(dir, 'redis-password').toString();
    write('redis-url', withPassword(redisUrl, password), 0o600);
    write('redis/redis.conf', `requirepass ${password}\n`, 0o644);
  }
  return made;
}

function withPassword(url: string, password: string): string {
  const whole = new URL(url);
  whole.password = password;
  return whole.href;
}

/** Never half of it, whoever reads meanwhile. */
function writeWhole(file: string, content: string, mode: number): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, content, { mode: 0o600, flush: true });
  chmodSync(draft, mode); // whatever the umask is
  renameSync(draft, file);
}

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { freePort } from './free-port.ts';
import { type MailServer, mailServer, selfSigned } from './mail-server.ts';
import { type RunningRedis, startRedis } from './redis-servers.ts';
import { until } from './until.ts';

/**
 * Where the commands of docs/runbooks run: the service in production mode behind HTTPS, with a PostgreSQL that archives its log, a Redis with
 * a password and a mail server, all of it its own. What the pages take for granted (docs/runbooks/README.md) is set here.
 */
export type Stage = {
  /** The service without its proxy: what is sent here comes from where `x-forwarded-for` says. */
  origin: string;
  folder: string;
  /** The URL of the role that owns the tables. */
  ownerUrl: string;
  mail(): MailServer;
  stopRedis(): Promise<void>;
  /** The one that the pages call OTHER_REDIS. */
  startOtherRedis(): Promise<void>;
  /** As `restart_latchkey` does it. */
  restart(): Promise<void>;
  stopMail(): Promise<void>;
  sql(statement: string): string;
  /** @returns what it printed @throws with what it printed, when it fails */
  latchkey(args: string[], input?: string): string;
  /** Runs a script in bash, which stops at the first command that fails. */
  run(script: string): Promise<{ code: number | null; said: string }>;
  stop(): Promise<void>;
};

const REPOSITORY = path.resolve(import.meta.dirname, '../..');
const LONGEST_SCRIPT_MS = 280_000;
const STARTS_WITHIN_SECONDS = 60;

/** @param before the folder of another version: the day begins with it, as OLD; NEW is the one under test */
export async function runbookStage(programs: string, before: string | null = null): Promise<Stage> {
  const ends: (() => unknown)[] = [];
  const stop = async () => {
    const ended = ends.splice(0).reverse();
    for (const end of ended) await Promise.resolve().then(end).catch(console.warn); // the others must end all the same
  };
  try {
    return { ...(await setUp(programs, before, (end) => ends.push(end))), stop };
  } catch (error) {
    await stop(); // what was started before it failed
    throw error;
  }
}

/** @param atTheEnd is told, as soon as something was started, how it ends */
async function setUp(programs: string, before: string | null, atTheEnd: (end: () => unknown) => void): Promise<Omit<Stage, 'stop'>> {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-runbook-'));
  atTheEnd(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755); // PostgreSQL runs as another user than root
  const at = (name: string) => path.join(folder, name);
  const databaseUser = unprivilegedUser();
  for (const name of ['work', 'secrets', 'backups', 'wal', 'postgres']) {
    mkdirSync(at(name), { mode: 0o700 });
    if (databaseUser && name !== 'secrets' && name !== 'work') chownSync(at(name), databaseUser.uid, databaseUser.gid);
  }
  mkdirSync(at('versions'));
  symlinkSync(REPOSITORY, at('versions/new'));
  symlinkSync(before ?? REPOSITORY, at('versions/old'));
  const installed = at('versions/current');
  symlinkSync(before === null ? 'new' : 'old', installed);
  const [web = 0, service = 0, postgres = 0, standby = 0, restored = 0, redis = 0, otherRedis = 0, smtp = 0] = await Promise.all(
    Array.from({ length: 8 }, freePort),
  );
  const issuer = `https://localhost:${web}`;
  const pgPassword = 'a password of this test';
  const ownerPassword = 'another-password-of-this-test';
  const ownerUrl = `postgres://latchkey_owner:${ownerPassword}@localhost:${postgres}/latchkey`;
  const asPostgres = databaseUser ? ['setpriv', `--reuid=${databaseUser.uid}`, `--regid=${databaseUser.gid}`, '--clear-groups'] : ['env'];

  const settings = {
    NODE_ENV: 'production',
    ISSUER: issuer,
    FRONTEND_URL: issuer,
    TRUST_PROXY: '127.0.0.1',
    KEYS_DIR: at('secrets/keys'),
    DATA_DIR: at('work'),
    SECRET_KEY_FILE: at('secrets/secret-key'),
    FERNET_KEY_FILE: at('secrets/fernet-key'),
    REDIS_URL_FILE: at('secrets/redis-url'),
    EMAIL_PROVIDER: 'smtp',
    SMTP_HOST: 'localhost',
    SMTP_PORT: String(smtp),
    SMTP_TLS: 'off',
    EMAILS_FROM_EMAIL: 'no-reply@example.com',
    SMS_MFA: 'false',
    LOG_LEVEL: 'error',
    ARGON2_MEMORY_KIB: '7168',
    ARGON2_TIME_COST: '1',
    REFRESH_REUSE_GRACE_SECONDS: '0',
    SHUTDOWN_DRAIN_SECONDS: '0', // there is no balancer that must learn of it
    RATE_LIMIT_PER_IP: '100000/minute',
    RATE_LIMIT_LOGIN: '100000/minute',
    RATE_LIMIT_PASSWORD_RESET: '1000/minute',
  };
  const environment = {
    PATH: `${programs}:${path.dirname(process.execPath)}:${process.env['PATH']}`,
    HOME: at('work'),
    LC_ALL: 'C.UTF-8',
    ...settings,
    SECRETS: at('secrets'),
    BACKUPS: at('backups'),
    PGHOST: 'localhost',
    PGPORT: String(postgres),
    PGUSER: 'postgres',
    PGDATABASE: 'latchkey',
    PGPASSWORD: pgPassword,
    PGDATA: at('postgres/data'),
    STANDBY: at('postgres/standby'),
    STANDBY_PORT: String(standby),
    RESTORED: at('postgres/restored'),
    RESTORED_PORT: String(restored),
    WAL_ARCHIVE: at('wal'),
    SERVICE_ROLE: 'latchkey',
    REDIS_HOST: 'localhost',
    REDIS_PORT: String(redis),
    OTHER_REDIS: `localhost:${otherRedis}`,
    OWNER_URL: at('work/owner-url'),
    OLD: 'old',
    NEW: 'new',
    CURL_CA_BUNDLE: at('work/ca.pem'),
    SMOKE: at('work/smoke.json'),
    ADMIN_HEADER: at('work/admin-header'),
  };

  const latchkey = (args: string[], input = '', more: Record<string, string> = {}) => {
    const env = { ...environment, DATABASE_URL_FILE: at('secrets/database-url'), ...more };
    const options = { env, input, encoding: 'utf8' as const, cwd: at('work') };
    return execFileSync(process.execPath, [path.join(installed, 'src/cli/latchkey.ts'), ...args], options);
  };
  const sql = (statement: string) => execFileSync('psql', ['-XAtqc', statement], { env: environment, encoding: 'utf8' }).trim();

  const urls = ['--database-url', `postgres://latchkey@localhost:${postgres}/latchkey`, '--redis-url', `redis://localhost:${redis}`];
  const bare = { PATH: environment.PATH, KEYS_DIR: at('secrets/keys') };
  execFileSync(process.execPath, [path.join(REPOSITORY, 'src/cli/latchkey.ts'), 'setup', '--secrets', at('secrets'), ...urls], {
    env: bare,
    cwd: at('work'),
  });
  ageTheNextKey(at('secrets/keys/manifest.json'));
  const redisPassword = readFileSync(at('secrets/redis-password'), 'utf8');
  writeFileSync(at('work/owner-url'), ownerUrl, { mode: 0o600 });

  const { key, cert } = selfSigned();
  writeFileSync(at('work/ca.pem'), cert);
  const front = createHttpsServer({ key, cert, minVersion: 'TLSv1.2' }, (incoming, outgoing) => {
    const headers = { ...incoming.headers, 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'https' };
    const onward = request({ port: service, host: '127.0.0.1', method: incoming.method, path: incoming.url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.writeHead(502).end());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => front.listen(web, resolve));
  atTheEnd(() => {
    front.close();
    front.closeAllConnections();
  });

  let mail = await mailServer({ port: smtp, disabledCommands: ['STARTTLS'] });
  atTheEnd(() => mail.stop().catch(() => {})); // a page may have stopped it
  const startRedisIn = (name: string, port: number) => {
    mkdirSync(at(name), { recursive: true });
    const options = ['--requirepass', redisPassword, '--masterauth', redisPassword, '--repl-diskless-sync-delay', '0'];
    return startRedis(at(name), ['--port', String(port), ...options]);
  };
  let redisServer = await startRedisIn('redis', redis);
  atTheEnd(() => redisServer.kill());
  let otherServer: RunningRedis | null = null;
  atTheEnd(() => otherServer?.kill());
  atTheEnd(() => {
    const [program = 'env', ...as] = asPostgres;
    for (const data of [environment.PGDATA, environment.STANDBY, environment.RESTORED])
      spawnSync(program, [...as, path.join(programs, 'pg_ctl'), '-D', data, '-m', 'immediate', 'stop'], { cwd: '/' });
  });
  startPostgres();
  const archived = `${at('wal')}/%f`;
  sql(`alter system set archive_command = 'cmp -s %p ${archived} || { test ! -f ${archived} && cp %p ${archived}; }'`);
  sql('select pg_reload_conf()');
  latchkey(['migrate', '--grant-to', 'latchkey'], '', { DATABASE_URL_FILE: environment.OWNER_URL });
  let child: ChildProcess | null = null;
  atTheEnd(() => stopService().catch(() => child?.kill('SIGKILL')));
  await startService();

  const restart = async () => {
    await stopService();
    await startService();
  };
  const repairs: Record<string, () => Promise<void>> = {
    '/restart_latchkey': restart,
    '/start_redis': async () => {
      redisServer = await startRedisIn('redis', redis);
    },
    '/repair_mail': async () => {
      mail = await mailServer({ port: smtp, disabledCommands: ['STARTTLS'] });
    },
  };
  const control = createServer((incoming, outgoing) => {
    const repair = repairs[incoming.url ?? ''];
    if (!repair) return void outgoing.writeHead(404).end();
    repair().then(
      () => outgoing.end(),
      (error: unknown) => outgoing.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => control.listen(0, '127.0.0.1', resolve));
  atTheEnd(() => control.close());
  const controlPort = (control.address() as AddressInfo).port;
  const ask = (name: string) => `${name}() { curl -sS --fail-with-body -X POST http://127.0.0.1:${controlPort}/${name}; }`;
  const prelude = [
    'set -euo pipefail',
    `latchkey() { DATABASE_URL_FILE="\${DATABASE_URL_FILE:-$SECRETS/database-url}" '${process.execPath}' '${installed}/src/cli/latchkey.ts' "$@"; }`,
    `use_version() { ln -sfn "$1" '${installed}'; }`,
    ...['restart_latchkey', 'start_redis', 'repair_mail'].map(ask),
    `as_postgres() { (cd / && ${asPostgres.join(' ')} "$@"); }`,
    ...functionsOfReadme(),
  ].join('\n');

  function startPostgres(): void {
    const [program = 'env', ...as] = asPostgres;
    const postgresql = (name: string, ...args: string[]) =>
      execFileSync(program, [...as, path.join(programs, name), ...args], {
        env: environment,
        stdio: ['ignore', 'ignore', 'inherit'],
        cwd: '/',
      });
    writeFileSync(at('postgres/password'), pgPassword, { mode: 0o644 });
    const data = environment.PGDATA;
    postgresql(
      'initdb',
      '-D',
      data,
      '-U',
      'postgres',
      '-A',
      'scram-sha-256',
      `--pwfile=${at('postgres/password')}`,
      '-E',
      'UTF8',
      '--locale=C',
    );
    const conf = [
      `port = ${postgres}`,
      "listen_addresses = 'localhost'",
      `unix_socket_directories = '${at('postgres')}'`,
      'fsync = off',
      'max_connections = 60',
      'archive_mode = on',
    ];
    writeFileSync(path.join(data, 'postgresql.conf'), `${conf.join('\n')}\n`, { flag: 'a' });
    postgresql('pg_ctl', '-D', data, '-l', at('postgres/log'), '-w', 'start');
    const rolePassword = readFileSync(at('secrets/postgres/password'), 'utf8');
    const start = (statement: string) =>
      execFileSync('psql', ['-XAtqc', statement, '-d', 'postgres'], { env: environment, stdio: ['ignore', 'ignore', 'inherit'] });
    start(`create role latchkey login password '${rolePassword}'`);
    start(`create role latchkey_owner login password '${ownerPassword}'`);
    start('create database latchkey owner latchkey_owner');
  }

  async function startService(): Promise<void> {
    const env = { ...environment, DATABASE_URL_FILE: at('secrets/database-url'), PORT: String(service), HOST: '127.0.0.1' };
    const started = spawn(process.execPath, ['src/main.ts'], { env, cwd: installed, stdio: ['ignore', 'ignore', 'pipe'] });
    child = started;
    let said = '';
    started.stderr?.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    await until(
      'the service answers',
      async () => {
        if (started.exitCode !== null) throw new Error(`it ended: ${said}`);
        return (await fetch(`http://127.0.0.1:${service}/health/ready`).catch(() => null))?.status === 200;
      },
      STARTS_WITHIN_SECONDS,
    );
  }

  async function stopService(): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const [code] = await ended;
    if (code !== 0) throw new Error(`the service ended with ${code}`);
  }

  return {
    origin: `http://localhost:${service}`,
    folder,
    ownerUrl,
    mail: () => mail,
    stopRedis: () => redisServer.kill(),
    startOtherRedis: async () => {
      otherServer = await startRedisIn('other-redis', otherRedis);
    },
    restart,
    stopMail: () => mail.stop(),
    sql,
    latchkey: (args, input) => latchkey(args, input),
    run: (script) =>
      new Promise((resolve, reject) => {
        const file = at('work/page.sh');
        writeFileSync(file, `${prelude}\n${script}`);
        // Not the service's: its worker would archive before the page says so.
        const env = { ...environment, REDISCLI_AUTH: redisPassword, AUDIT_ARCHIVE_URL: pathToFileURL(at('backups/audit')).href };
        const bash = spawn('bash', [file], { env, cwd: at('work'), stdio: ['ignore', 'pipe', 'pipe'], timeout: LONGEST_SCRIPT_MS });
        let said = '';
        for (const stream of [bash.stdout, bash.stderr]) {
          stream.on('data', (chunk: Buffer) => {
            said += chunk;
          });
        }
        bash.once('error', reject);
        bash.once('close', (code) => resolve({ code, said }));
      }),
  };
}

/** PostgreSQL refuses to run as root. */
function unprivilegedUser(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const idOf = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: idOf('-u'), gid: idOf('-g') };
}

/** As it is where keys were made long enough ago to sign. */
function ageTheNextKey(manifest: string): void {
  const { next, ...rest } = JSON.parse(readFileSync(manifest, 'utf8'));
  writeFileSync(manifest, JSON.stringify({ ...rest, next: { ...next, published_at: new Date(Date.now() - 3_600_000).toISOString() } }));
}

/** Those that are the same in every installation, in the words of the page. */
function functionsOfReadme(): string[] {
  const page = readFileSync(path.join(REPOSITORY, 'docs/runbooks/README.md'), 'utf8');
  return page.split('\n').filter((line) => /^(admin|audit_verify|latchkey_as_owner|ready|smoke|within)\(\) \{/.test(line));
}

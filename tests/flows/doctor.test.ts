import { randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer as httpServer } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { Severity } from '#domain/finding-kind.ts';
import type { FindingId } from '#domain/findings.ts';
import { fernetSeal, newFernetKey, parseFernetKeys } from '#infrastructure/crypto/fernet.ts';
import { createKeyFolder } from '#infrastructure/crypto/key-folder.ts';
import { startEmbeddedPostgres } from '#infrastructure/embedded/embedded-postgres.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { migrate } from '#infrastructure/postgres/migrate.ts';
import type { Environment } from '#src/config.ts';
import { asOwner } from '#tests/support/audit.ts';
import { runLatchkey } from '#tests/support/cli.ts';
import { createDatabase, dropDatabase, inDatabase, type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { mailServer } from '#tests/support/mail-server.ts';
import { redisServer } from '#tests/support/redis-servers.ts';
import { until } from '#tests/support/until.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-doctor-'));
const at = (name: string) => path.join(folder, name);
const FERNET = newFernetKey();
let database: TestDatabase;
let redis: Awaited<ReturnType<typeof redisServer>>;
let mail: Awaited<ReturnType<typeof mailServer>>;
let sound: Environment;
beforeAll(async () => {
  [database, redis, mail] = await Promise.all([
    testDatabase(),
    redisServer((port) => ['--port', String(port)]),
    mailServer({
      hideSTARTTLS: true,
      onAuth: ({ password }, _, done) => done(password === 'right' ? null : new Error('no'), { user: 'u' }),
    }),
  ]);
  createKeyFolder(at('keys'), 'RS256', new Date());
  await database.sql`insert into accounts (id, email, email_canonical, status, roles, created_at, updated_at)
    values (${ACCOUNT}, 'a@example.com', 'a@example.com', 'active', '{user,admin}', now(), now())`;
  sound = {
    NODE_ENV: undefined,
    ISSUER: 'http://localhost:3000',
    KEYS_DIR: at('keys'),
    DATA_DIR: at('data'),
    SECRET_KEY: randomBytes(32).toString('base64'),
    FERNET_KEY: FERNET,
    REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    EMAIL_PROVIDER: 'smtp',
    EMAILS_FROM_EMAIL: 'no-reply@example.com',
    SMTP_HOST: '127.0.0.1',
    SMTP_PORT: String(mail.port),
    SMTP_TLS: 'off',
  };
});
afterAll(async () => {
  await Promise.all([database.drop(), redis.stop(), mail.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

const ACCOUNT = randomUUID();
type Told = { id: FindingId; severity: Severity; requirement: string | null; what: string; why: string; do: string };
type Report = { ok: boolean; counts: Record<Severity, number>; checks: string[]; findings: Told[] };

async function examined(settings: Environment = {}, address: DatabaseAddress = database.address): Promise<Report & { code: number }> {
  const { code, printed, complained } = await runLatchkey(['doctor', '--json'], address, { ...sound, ...settings });
  expect(complained).toEqual([]);
  return { code, ...(JSON.parse(printed.join('\n')) as Report) };
}

/** What is not sound, without what strict would ask. */
async function idsWith(settings: Environment = {}, address?: DatabaseAddress): Promise<FindingId[]> {
  return (await examined(settings, address)).findings.map(({ id }) => id).filter((id) => !id.endsWith('-deviation'));
}

describe('latchkey doctor', () => {
  it('finds nothing wrong where nothing is, names what strict would ask, and ends with 0', async () => {
    const { code, ok, counts, checks, findings } = await examined();
    expect(findings.filter(({ id }) => !id.endsWith('-deviation'))).toEqual([]);
    expect({ code, ok, errors: counts.error, warnings: counts.warning }).toEqual({ code: 0, ok: true, errors: 0, warnings: 0 });
    expect(checks).toEqual(['settings', 'origins', 'keys', 'database and proxy', 'redis', 'mail', 'profile']);
    const requirements = findings.map(({ requirement }) => requirement);
    expect(requirements).toEqual(expect.arrayContaining(['V6.3.3', 'V6.6.1', 'V10.4.5', 'V11.6.1', 'V11.2.3', 'V3.3.3']));
    expect(mail.received).toEqual([]);
  });

  it('says to people what is so, why it matters and what to do, and ends with 1 at an error', async () => {
    const { code, printed } = await runLatchkey(['doctor'], database.address, { ...sound, METRICS_PORT: '3000' });
    expect(code).toBe(1);
    const text = printed.join('\n');
    expect(text).toContain('ERROR    metrics-port-taken\n         METRICS_PORT and PORT are both 3000.\n');
    expect(text).toContain('         → Give METRICS_PORT another port than PORT.');
    expect(printed.at(-1)).toMatch(/^1 error, 0 warnings, \d+ notes$/);
    expect(printed.filter((line) => line.length > 110)).toEqual([]);
  });

  it('goes on with the rest where settings are wrong, of production too', async () => {
    const wrong = { NODE_ENV: 'production', ISSUER: undefined, PORT: 'x', FERNET_KEY: 'x', SMTP_PORT: '1', SMS_MFA: 'false' };
    const { code, findings } = await examined(wrong);
    const refused = findings.filter(({ id }) => id === 'setting-refused').map(({ what }) => what.split(':')[0]);
    expect(refused.sort()).toEqual(['FERNET_KEY', 'FRONTEND_URL', 'ISSUER', 'PORT']);
    expect(code).toBe(1);
    expect(findings.map(({ id }) => id)).toEqual(expect.arrayContaining(['mail-down', 'audit-changeable', 'issuer-local']));
  });

  it('warns where strict is set and a setting takes a part of it back', async () => {
    const ids = await idsWith({ SECURITY_PROFILE: 'strict', SMS_MFA: 'true', SMTP_TLS: 'on' });
    expect(ids.filter((id) => id === 'strict-weakened')).toHaveLength(3); // SMS, and keys that are still RS256 of 2048 bits
    expect(ids).toContain('key-algorithm');
  });

  it('names neighbours that browsers take for strangers', async () => {
    expect(await idsWith({ CORS_ORIGINS: 'http://localhost:5173' })).toEqual([]);
    const onPages = { ISSUER: 'https://a.pages.dev', FRONTEND_URL: 'https://b.pages.dev', CORS_ORIGINS: 'https://b.pages.dev' };
    expect(await idsWith(onPages)).toContain('cookies-cross-site');
    const onOwn = { ISSUER: 'https://a.example.co.uk', FRONTEND_URL: 'https://b.example.co.uk', CORS_ORIGINS: 'https://b.example.co.uk' };
    expect(await idsWith(onOwn)).not.toContain('cookies-cross-site');
    expect(await idsWith(onOwn)).not.toContain('passkeys-no-domain');
    expect(await idsWith({ ...onOwn, WEBAUTHN_RP_ID: 'co.uk' })).toContain('passkeys-no-domain');
  });
});

describe('of keys and secrets', () => {
  it('sees a folder and files that others can get at', async () => {
    createKeyFolder(at('open'), 'ES256', new Date());
    const settings = { KEYS_DIR: at('open'), JWT_ALGORITHM: 'ES256' };
    expect(await idsWith(settings)).toEqual([]);
    chmodSync(at('open'), 0o777);
    expect(await idsWith(settings)).toEqual(['keys-folder-open']);
    chmodSync(at('open'), 0o700);
    const pem = readdirSync(at('open')).find((name) => name.endsWith('.pem')) ?? '';
    chmodSync(path.join(at('open'), pem), 0o644);
    expect(await idsWith(settings)).toEqual(['keys-unusable']);

    mkdirSync(at('data'), { recursive: true });
    writeFileSync(path.join(at('data'), 'secret-key'), 'x'.repeat(43), { mode: 0o600 });
    expect(await idsWith({ SECRET_KEY: undefined })).toEqual([]);
    chmodSync(path.join(at('data'), 'secret-key'), 0o644);
    expect(await idsWith({ SECRET_KEY: undefined })).toEqual(['secret-file-open']);
    expect(await idsWith()).toEqual([]);
  });

  it('sees a key that has signed for more than a year by the manifest, whose files an update of a mounted Secret makes young', async () => {
    createKeyFolder(at('aged'), 'RS256', new Date());
    const manifest = path.join(at('aged'), 'manifest.json');
    const { current, next } = JSON.parse(readFileSync(manifest, 'utf8'));
    const agoOf = (days: number) => new Date(Date.now() - days * 86_400_000);
    const { signs_since: _, ...unnoted } = current;
    const signing = (days: number) =>
      writeFileSync(manifest, JSON.stringify({ current: { ...current, signs_since: agoOf(days).toISOString() }, next, previous: [] }));
    const settings = { KEYS_DIR: at('aged') };
    signing(366.5);
    expect((await examined(settings)).findings).toContainEqual(
      expect.objectContaining({ id: 'key-old', what: `${current.kid} has signed for 366 days.` }),
    );
    utimesSync(path.join(at('aged'), `${current.kid}.pem`), agoOf(400), agoOf(400)); // it waited as the next one
    signing(364.5);
    expect(await idsWith(settings)).toEqual([]);
    writeFileSync(
      manifest,
      JSON.stringify({ current: unnoted, next: { ...next, published_at: agoOf(366.5).toISOString() }, previous: [] }),
    );
    expect(await idsWith(settings)).toEqual(['key-old']);
    writeFileSync(manifest, JSON.stringify({ current: unnoted, next: null, previous: [] }));
    expect(await idsWith(settings)).toEqual(['key-next-missing', 'key-old']);
  });

  it('sees a rotation of FERNET_KEY that stopped halfway, one that is done, and a key that is lost', async () => {
    const next = newFernetKey();
    const sealed = fernetSeal(parseFernetKeys(FERNET)[0], 'a secret', new Date());
    await database.sql`insert into totp_authenticators (id, account_id, session_id, secret, created_at)
      values (${randomUUID()}, ${ACCOUNT}, ${randomUUID()}, ${sealed}, now())`;
    try {
      expect(await idsWith()).toEqual([]);
      expect(await idsWith({ FERNET_KEY: next })).toEqual(['secrets-lost']);
      expect(await idsWith({ FERNET_KEY: `${next},${FERNET}` })).toEqual(['secrets-under-old-keys']);
      const ran = await runLatchkey(['secrets', 'reencrypt'], database.address, { ...sound, FERNET_KEY: `${next},${FERNET}` });
      expect(ran).toMatchObject({ code: 0, printed: ['1 of 1 secrets encrypted anew'] });
      expect(await idsWith({ FERNET_KEY: `${next},${FERNET}` })).toEqual(['fernet-keys-can-go']);
      expect(await idsWith({ FERNET_KEY: next })).toEqual([]);
    } finally {
      await database.sql`delete from totp_authenticators`;
    }
  });
});

describe('of the database', () => {
  /** Changes something as its owner, looks, and undoes it. */
  async function with_(change: string, undo: string, settings: Environment = {}): Promise<FindingId[]> {
    await asOwner(database.sql, (tx) => tx.unsafe(change));
    try {
      return await idsWith(settings);
    } finally {
      await asOwner(database.sql, (tx) => tx.unsafe(undo));
    }
  }
  const event = (seconds: string, type = 'LOGOUT', ip = '192.0.2.1') => `
    insert into audit_events (id, occurred_at, type, account_id, ip, request_id, risk, details)
    select gen_random_uuid(), ${seconds}, '${type}', gen_random_uuid(), '${ip}', '', 0, '{}' from generate_series(1, 5)`;
  const message = (columns: string, values: string) => `
    insert into outbox (id, kind, account_id, recipient, template, created_at, next_attempt_at, expires_at, ${columns})
    values (gen_random_uuid(), 'email', '${ACCOUNT}', 'a@example.com', 'x', now() - interval '20 minutes', now(), now() + interval '1 hour', ${values})`;

  it('sees a schema that is behind, ahead, or of another release', async () => {
    const put = `insert into schema_migrations select * from kept; drop table kept`;
    expect(
      await with_(
        `create table kept as select * from schema_migrations where name like '0008%'; delete from schema_migrations where name like '0008%'`,
        put,
      ),
    ).toEqual(['migrations-pending']);
    expect(
      await with_(`insert into schema_migrations values ('9999_future', 'x')`, `delete from schema_migrations where name = '9999_future'`),
    ).toEqual(['migrations-unknown']);
    expect(
      await with_(
        `update schema_migrations set hash = 'x' || hash where name like '0000%'`,
        `update schema_migrations set hash = substr(hash, 2) where name like '0000%'`,
      ),
    ).toEqual(['migration-changed']);
  });

  it('[V16.4.2] sees that the service owns the audit trail, and that another role does not', async () => {
    const production = {
      NODE_ENV: 'production',
      ISSUER: 'https://auth.example.com',
      FRONTEND_URL: 'https://auth.example.com',
      HOST: '0.0.0.0',
      TRUST_PROXY: '10.0.0.1',
      SMS_MFA: 'false',
    };
    const role = `latchkey_doctor_${randomBytes(4).toString('hex')}`;
    await database.sql.unsafe(`create role ${role} login password 'only here'`);
    try {
      expect((await runLatchkey(['migrate', '--grant-to', role], database.address)).code).toBe(0);
      const server = database.address;
      const address =
        'url' in server
          ? { url: Object.assign(new URL(server.url), { username: role, password: 'only here' }).href }
          : { ...server, user: role };
      expect(await idsWith(production, address)).toEqual([]);
      expect((await idsWith(production)).sort()).toEqual(['audit-changeable', 'database-superuser']);
    } finally {
      await database.sql.unsafe(`drop owned by ${role}; drop role ${role}`);
    }
  });

  it('sees events of no month, months that are missing, and months that are due', async () => {
    const clear = 'truncate audit_events';
    expect(await with_(event(`'2001-01-01'`), clear)).toContain('audit-default-used');
    expect(await with_(event('now()'), clear)).not.toContain('audit-default-used');
    const [row] = await database.sql<
      { name: string }[]
    >`select 'audit_events_' || to_char(now() at time zone 'UTC' + interval '2 months', 'YYYY_MM') as name`;
    expect(await with_(`alter table audit_events detach partition ${row?.name}; drop table ${row?.name}`, 'select 1')).toEqual([
      'audit-months-missing',
    ]);
    expect((await runLatchkey(['migrate'], database.address)).code).toBe(0);
    expect(await idsWith()).toEqual([]);

    const gone = 'alter table audit_events detach partition audit_events_2020_01; drop table audit_events_2020_01';
    expect(await with_(`select audit_make_month('2020-01')`, gone)).toEqual(['audit-archive-unset']);
    expect(await with_(`select audit_make_month('2020-01')`, gone, { AUDIT_ARCHIVE_URL: `file://${at('archive')}` })).toEqual([
      'audit-archive-late',
    ]);
  });

  it('sees that no worker seals', async () => {
    await asOwner(database.sql, (tx) => tx.unsafe(event(`now() - interval '6 minutes'`)));
    try {
      // Transactions of other databases hold back what counts as settled.
      await until('it is seen', async () => (await idsWith()).includes('audit-unsealed'));
    } finally {
      await asOwner(database.sql, (tx) => tx`truncate audit_events`);
    }
  });

  it('[V15.3.4] sees the proxy that nobody named by whom it brought, and says what to set', async () => {
    await asOwner(database.sql, (tx) => tx.unsafe(event('now()', 'LOGIN_SUCCEEDED', '10.1.2.3')));
    try {
      const { code, findings } = await examined({ HOST: '0.0.0.0' });
      expect(findings).toContainEqual(expect.objectContaining({ id: 'proxy-seen', do: 'Set TRUST_PROXY=10.1.2.3.' }));
      expect(code).toBe(1);
      expect(await idsWith({ HOST: '0.0.0.0', TRUST_PROXY: '10.1.2.0/24' })).toEqual(['proxy-silent']);
    } finally {
      await asOwner(database.sql, (tx) => tx`truncate audit_events`);
    }
  });

  it('sees mail that waits and mail that died', async () => {
    expect(await with_(message('attempts', '3'), 'delete from outbox')).toEqual(['outbox-waits']);
    expect(await with_(message('failed_at, failure', `now(), 'bounced'`), 'delete from outbox')).toEqual(['outbox-dead']);
    expect(await with_(message('sent_at', 'now()'), 'delete from outbox')).toEqual([]);
  });

  it('sees that nobody administers', async () => {
    expect(await with_(`update accounts set roles = '{user}'`, `update accounts set roles = '{user,admin}'`)).toEqual([
      'nobody-administers',
    ]);
    expect(await with_(`update accounts set status = 'suspended'`, `update accounts set status = 'active'`)).toEqual([
      'nobody-administers',
    ]);
  });

  it('looks at an empty one, and leaves it empty', async () => {
    const name = await createDatabase(inject('postgres'));
    try {
      const address = inDatabase(inject('postgres'), name);
      expect(await idsWith({}, address)).toEqual(['migrations-pending']);
      expect(await idsWith({}, address)).toEqual(['migrations-pending']);
    } finally {
      await dropDatabase(inject('postgres'), name);
    }
  });

  it('says that there is none, or which embedded one it looked at', async () => {
    const dataDir = at('embedded');
    const settings = { ...sound, DATA_DIR: dataDir, SECRET_KEY: undefined, FERNET_KEY: undefined };
    const look = async () => {
      const { printed } = await runLatchkey(['doctor', '--json'], database.address, { ...settings, DATABASE_URL: undefined });
      return (JSON.parse(printed.join('')) as Report).findings.filter(({ id }) => !id.endsWith('-deviation'));
    };
    expect(await look()).toMatchObject([{ id: 'database-embedded', what: expect.stringContaining('There is no database yet') }]);
    expect(() => readdirSync(dataDir)).toThrow('ENOENT');
    const embedded = await startEmbeddedPostgres(dataDir, () => {});
    try {
      await migrate(embedded.address, new Date());
      expect(await look()).toMatchObject([
        { id: 'database-embedded', what: `The embedded PostgreSQL 18 in ${dataDir}.` },
        { id: 'nobody-administers' },
      ]);
    } finally {
      await embedded.stop();
    }
    expect(await look()).toMatchObject([{ id: 'database-embedded' }, { id: 'nobody-administers' }]); // started for the look, and ended
    await (await startEmbeddedPostgres(dataDir, () => {})).stop();
  });
});

describe('of Redis', () => {
  const withRedis = async (options: string[], settings: Environment = {}) => {
    const server = await redisServer((port) => ['--port', String(port), ...options]);
    try {
      return await examined({ REDIS_URL: `redis://127.0.0.1:${server.port}`, ...settings });
    } finally {
      await server.stop();
    }
  };
  const ids = ({ findings }: Report) => findings.map(({ id }) => id).filter((id) => !id.endsWith('-deviation'));

  it('sees what forgets, and what is no place to count', async () => {
    expect(ids(await withRedis(['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru']))).toEqual(['redis-evicts']);
    expect(ids(await withRedis(['--maxmemory', '64mb']))).toEqual([]);
    expect(ids(await withRedis(['--replicaof', '127.0.0.1', '1']))).toEqual(['redis-replica']);
    expect(ids(await withRedis(['--cluster-enabled', 'yes']))).toEqual(['redis-is-cluster', 'redis-cluster-broken']);
    expect(ids(await withRedis([], { REDIS_CLUSTER: 'true' }))).toEqual(['redis-no-cluster']);
  });

  it('sees that it asks for another password, and shows none', async () => {
    const report = await withRedis(['--requirepass', 'the-right-one']);
    expect(report.findings).toContainEqual(expect.objectContaining({ id: 'redis-down', what: expect.stringContaining('NOAUTH') }));
  });

  it('says that limits are counted in process without one', async () => {
    expect(await idsWith({ REDIS_URL: '' })).toEqual(['limits-in-process']);
  });
});

describe('of mail', () => {
  it('signs in to the mail server and sends nothing', async () => {
    expect(await idsWith({ SMTP_USER: 'u', SMTP_PASSWORD: 'right' })).toEqual([]);
    const { findings } = await examined({ SMTP_USER: 'u', SMTP_PASSWORD: 'a wrong one' });
    expect(findings).toContainEqual(expect.objectContaining({ id: 'mail-refuses-us', what: expect.stringContaining('535') }));
    expect(JSON.stringify(findings)).not.toContain('a wrong one');
    expect(await idsWith({ SMTP_TLS: 'on' })).toEqual(['mail-down']); // it has no TLS to offer
    expect(mail.received).toEqual([]);
  });

  it('asks SendGrid what the key may do', async () => {
    let status = 200;
    const asked: string[] = [];
    const server = httpServer((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers.authorization}`);
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"scopes":["mail.send"]}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const settings = { EMAIL_PROVIDER: 'sendgrid', SENDGRID_API_KEY: 'SG.key', SENDGRID_URL: url, SMTP_HOST: '' };
    try {
      expect(await idsWith(settings)).toEqual([]);
      status = 401;
      expect(await idsWith(settings)).toEqual(['mail-refuses-us']);
      expect(new Set(asked)).toEqual(new Set(['GET /v3/scopes Bearer SG.key']));
    } finally {
      server.closeAllConnections();
      server.close();
    }
    expect(await idsWith(settings)).toEqual(['mail-down']);
  });

  it('says that the mailbox is in memory', async () => {
    expect(await idsWith({ EMAIL_PROVIDER: 'mailbox', SMTP_HOST: '' })).toEqual(['mail-in-memory']);
  });
});

describe('when everything is dead', () => {
  const secrets = { SECRET_KEY: `canary-${randomBytes(20).toString('hex')}`, FERNET_KEY: newFernetKey(), SMTP_PASSWORD: 'canary-smtp' };
  const dead = (port: number) => ({
    ...secrets,
    REDIS_URL: `redis://:canary-redis@127.0.0.1:${port}`,
    SMTP_PORT: String(port),
    SMTP_USER: 'u',
    METRICS_PORT: '3000',
  });
  const DOWN = ['metrics-port-taken', 'database-down', 'redis-down', 'mail-down'];

  it('says so of each, whether they refuse or keep silent, still looks at the rest, and shows no secret', async () => {
    const silent = net.createServer((socket) => socket.on('error', () => {}));
    const sockets: net.Socket[] = [];
    silent.on('connection', (socket) => sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    try {
      for (const at of [port, 9]) {
        const address = { url: `postgres://latchkey:canary-postgres@127.0.0.1:${at}/latchkey` };
        expect(await idsWith(dead(at), address)).toEqual(DOWN);
        for (const words of [['doctor'], ['doctor', '--json']]) {
          const { code, printed, complained } = await runLatchkey(words, address, { ...sound, ...dead(at) });
          expect(code).toBe(1);
          const said = [...printed, ...complained].join('\n');
          expect(said).not.toMatch(/canary|\n\s+at .*:\d+:\d+/);
          expect(said).not.toContain(secrets.FERNET_KEY);
        }
      }
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  it('passes on what PostgreSQL says, without the password', async () => {
    const server = database.address;
    const address =
      'url' in server
        ? { url: Object.assign(new URL(server.url), { username: 'nobody_of_this_name', password: 'canary-postgres' }).href }
        : { ...server, user: 'nobody_of_this_name' };
    const { code, findings } = await examined({}, address);
    expect(code).toBe(1);
    expect(findings).toContainEqual(expect.objectContaining({ id: 'database-down', what: expect.stringContaining('nobody_of_this_name') }));
    expect(JSON.stringify(findings)).not.toContain('canary');
  });
});

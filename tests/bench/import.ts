import { spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { createWriteStream, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { coseKey } from '../support/authenticator.ts';

/** `npm run bench:import`: how long `latchkey users import` takes, and how much memory its process holds at most. */

const HELP = `Usage: npm run bench:import -- [--users N] [--passkeys N]

Needs PostgreSQL: BENCH_DATABASE_URL (default postgres://postgres@127.0.0.1:5432/postgres), where it makes a database and drops it
again. Writes a file of --users (default 100000), each with --passkeys (default 0), imports it, and once more when all are there.`;

const { values } = parseArgs({
  options: {
    users: { type: 'string', default: '100000' },
    passkeys: { type: 'string', default: '0' },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const USERS = Number(values.users);
const PASSKEYS = Number(values.passkeys);
if (!Number.isInteger(USERS) || USERS < 1 || !Number.isInteger(PASSKEYS) || PASSKEYS < 0) {
  console.error(HELP);
  process.exit(2);
}
const ADMIN = process.env['BENCH_DATABASE_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const DATABASE = 'latchkey_bench_import';
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

const base64 = (bytes: number) => randomBytes(bytes).toString('base64').replace(/=+$/, '');

/** Every tenth has an authenticator app. Nobody signs in, so no password belongs to a hash. */
function user(index: number): object {
  const passkeys = Array.from({ length: PASSKEYS }, () => ({
    credential_id: randomBytes(32).toString('base64url'),
    public_key: coseKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey).toString('base64url'),
    sign_count: 0,
  }));
  return {
    id: randomUUID(),
    email: `user${index}@example.com`,
    email_verified: true,
    username: `user${index}`,
    display_name: `User number ${index}`,
    password_hash: `$argon2id$v=19$m=65536,t=3,p=4$${base64(16)}$${base64(32)}`,
    created_at: new Date(Date.UTC(2020, 0, 1) + index * 1000).toISOString(),
    ...(index % 10 === 0 ? { totp_secret: Array.from(randomBytes(32), (byte) => BASE32[byte % 32]).join('') } : {}),
    ...(PASSKEYS > 0 ? { passkeys } : {}),
  };
}

function* lines(): Generator<string> {
  for (let index = 0; index < USERS; index++) yield `${JSON.stringify(user(index))}\n`;
}

type Imported = { report: { imported: number; passkeys: number; already_there: number }; seconds: number; peakMib: number };

/** As `npm run latchkey` runs it. */
async function importOf(file: string, folder: string): Promise<Imported> {
  const flags = ['--max-semi-space-size=4', '--import', './tools/runtime/check-node.mjs', '--import', './tests/support/peak-memory.mjs'];
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...flags, 'src/cli/latchkey.ts', 'users', 'import', file, '--json'], {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: Object.assign(new URL(ADMIN), { pathname: `/${DATABASE}` }).href,
      DATA_DIR: path.join(folder, 'data'),
      KEYS_DIR: path.join(folder, 'keys'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const seconds = (performance.now() - startedAt) / 1000;
  const peak = /\npeak=(\d+)\n$/.exec(err)?.[1];
  if (out === '' || peak === undefined) throw new Error(`the import failed: ${err}`);
  return { report: JSON.parse(out), seconds, peakMib: Number(peak) / 1024 };
}

const admin = postgres(ADMIN, { max: 1, onnotice() {} });
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-bench-import-'));
try {
  await admin.unsafe(`drop database if exists ${DATABASE} with (force)`);
  await admin.unsafe(`create database ${DATABASE}`);
  const file = path.join(folder, 'users.ndjson');
  await pipeline(lines, createWriteStream(file));

  const nobody = path.join(folder, 'nobody.ndjson');
  writeFileSync(nobody, '');
  await importOf(nobody, folder); // makes the tables, and compiles what the next ones load

  const first = await importOf(file, folder);
  if (first.report.imported !== USERS || first.report.passkeys !== USERS * PASSKEYS) throw new Error(JSON.stringify(first.report));
  const again = await importOf(file, folder);
  if (again.report.already_there !== USERS) throw new Error(JSON.stringify(again.report));

  const size = (statSync(file).size / 1e6).toFixed(1);
  const figures = ({ seconds, peakMib }: Imported) => `${seconds.toFixed(1)} s | ${peakMib.toFixed(0)} MiB`;
  console.log(`| users | passkeys each | file | import | RSS at most | all there already | RSS at most |
|---:|---:|---:|---:|---:|---:|---:|
| ${USERS} | ${PASSKEYS} | ${size} MB | ${figures(first)} | ${figures(again)} |`);
} finally {
  await admin.unsafe(`drop database if exists ${DATABASE} with (force)`);
  await admin.end();
  rmSync(folder, { recursive: true, force: true });
}

import { generateKeyPairSync, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs, promisify } from 'node:util';
import { hash } from '@node-rs/argon2';
import Fastify from 'fastify';
import postgres from 'postgres';
import { wireTo } from '../adapters/postgres/wire.ts';
import { until } from '../support/until.ts';
import { get, load, type Measured, post } from './load.ts';
import { type Server, startBetterAuth, startLatchkey } from './servers.ts';

/** `npm run bench`: rates next to their limits, measured in turn in one run, as ratios. Loopback only; ends by itself. */

const HELP = `Usage: npm run bench -- [--rounds N] [--seconds N] [--json FILE] [--without-better-auth]

Needs PostgreSQL: BENCH_DATABASE_URL (default postgres://postgres@127.0.0.1:5432/postgres), where it makes two databases and drops
them again. Each round measures everything for --seconds (default 3); the table shows the median of --rounds (default 5).`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    json: { type: 'string' },
    'without-better-auth': { type: 'boolean' },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const ADMIN = process.env['BENCH_DATABASE_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const IN_FLIGHT = 32;
/** Of the bare look-up; postgres.js is given no more than it has connections for, as by us (docs/adr/0025). */
const CONNECTIONS = 10;
const PASSWORD = 'nine quiet rivers under a bridge';
const ARGON2 = { algorithm: 2, memoryCost: 19456, timeCost: 2, parallelism: 1, outputLen: 32 };

const admin = postgres(ADMIN, { max: 1, onnotice() {} });
const database = async (name: string) => {
  await admin.unsafe(`drop database if exists ${name} with (force)`);
  await admin.unsafe(`create database ${name}`);
  return Object.assign(new URL(ADMIN), { pathname: `/${name}` }).href;
};

/** How many pieces of work a second, `width` at once. */
async function rate(width: number, work: () => Promise<unknown>): Promise<number> {
  let done = 0;
  const startedAt = performance.now();
  const endAt = startedAt + SECONDS * 1000;
  const worker = async () => {
    for (; performance.now() < endAt; done++) await work();
  };
  await Promise.all(Array.from({ length: width }, worker));
  return done / ((performance.now() - startedAt) / 1000);
}

/** What autovacuum does of itself, where it is on: dead rows and old counts do not pile up from round to round. */
async function vacuum(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice() {} });
  await sql`vacuum (analyze)`;
  await sql.end();
}

type Person = { email: string; tokens: { access_token: string; refresh_token: string } };

async function ask(port: number, path: string, body?: unknown, origin?: string): Promise<Response> {
  const headers = { accept: 'application/json' };
  const sent =
    body === undefined
      ? {}
      : {
          method: 'POST',
          body: JSON.stringify(body),
          headers: { ...headers, 'content-type': 'application/json', ...(origin && { origin }) },
        };
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers, ...sent });
  if (!answer.ok && answer.status !== 401) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

/** Registers, confirms and signs somebody in. @param others services on the same database, of which any may send the mail */
async function person(port: number, name: string, others: number[] = []): Promise<Person> {
  const email = `${name}@example.com`;
  await ask(port, '/api/auth/register', { email, password: PASSWORD });
  const link = async () => {
    for (const each of [port, ...others]) {
      const { messages } = (await (await ask(each, '/dev/mailbox')).json()) as { messages: { to: string; links: string[] }[] };
      const found = messages.find(({ to }) => to === email)?.links[0];
      if (found) return found;
    }
  };
  await ask(port, '/api/auth/verify-email', { token: (await until(`the mail to ${email}`, link)).split('token=')[1] });
  return { email, tokens: (await (await ask(port, '/api/auth/login', { email, password: PASSWORD })).json()) as Person['tokens'] };
}

type Round = Record<string, number>;
const latencies: Record<string, Measured> = {};
let serial = 0;

async function round(
  mine: Server,
  other: Server | null,
  { people, visitors }: { people: Person[]; visitors: Person[] },
  cookie: string,
  bare: { port: number; sql: postgres.Sql; sid: string },
): Promise<Round> {
  const of = (port: number, next: (index: number, body: string | null) => string) =>
    load({ port, connections: IN_FLIGHT, seconds: SECONDS, next });
  const results: Round = {};
  const record = async (name: string, work: Promise<Measured>) => {
    const measured = await work;
    if (measured.failed > 0) throw new Error(`${name}: ${measured.failed} answers were not 2xx, the first was ${measured.refused}`);
    results[name] = measured.perSecond;
  };
  const first = people[0];
  if (!first) throw new Error('nobody has signed in');
  const logins = visitors.map(({ email }) => post('/api/auth/login', { email, password: PASSWORD }));
  const login = (index: number) => logins[index % logins.length] ?? '';
  const me = get('/api/auth/me', { authorization: `Bearer ${first.tokens.access_token}` });
  const jwks = get('/.well-known/jwks.json');

  results['bare argon2id'] = await rate(availableParallelism(), () => hash(PASSWORD, ARGON2));
  await record('login', of(mine.port, login));
  if (other) {
    const signIn = post('/api/auth/sign-in/email', { email: 'ada@example.com', password: PASSWORD });
    await record(
      'better auth sign-in',
      of(other.port, () => signIn),
    );
  }
  await record(
    'register',
    of(mine.port, () => post('/api/auth/register', { email: `r${serial++}x${process.pid}@example.com`, password: PASSWORD })),
  );
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const signLater = promisify(sign);
  const data = Buffer.alloc(700, 'x');
  results['bare rs256'] = await rate(IN_FLIGHT, () => signLater('sha256', data, privateKey));
  await record(
    'refresh',
    of(mine.port, (index, body) => {
      const holder = people[index] ?? first;
      if (body) holder.tokens = JSON.parse(body);
      return post('/api/auth/refresh', { refresh_token: holder.tokens.refresh_token });
    }),
  );
  results['bare sql'] = await rate(
    CONNECTIONS,
    async () => bare.sql`
    select s.id, a.email, a.roles from sessions s join accounts a on a.id = s.account_id where s.id = ${bare.sid} and s.revoked_at is null`,
  );
  await record(
    'me',
    of(mine.port, () => me),
  );
  if (other) {
    const session = get('/api/auth/get-session', { cookie });
    await record(
      'better auth get-session',
      of(other.port, () => session),
    );
  }
  await record(
    'bare fastify',
    of(bare.port, () => get('/')),
  );
  await record(
    'jwks',
    of(mine.port, () => jwks),
  );

  const flood = load({ port: mine.port, connections: 100, seconds: SECONDS, next: login });
  const live = get('/health/live');
  const [jwksMeanwhile, liveMeanwhile] = await Promise.all(
    [jwks, live].map((request) => load({ port: mine.port, connections: 1, seconds: SECONDS, next: () => request })),
  );
  const flooded = await flood;
  for (const [name, measured] of Object.entries({ 'jwks while 100 sign in': jwksMeanwhile, 'live while 100 sign in': liveMeanwhile })) {
    if (!measured || measured.failed > 0) throw new Error(`${name}: not all 200`);
    latencies[name] = measured;
    results[`${name}, p99 ms`] = measured.p99Ms;
  }
  if (flooded.failed > 0) throw new Error(`${flooded.failed} of 100 clients' sign-ins were refused`);
  results['rss under load, MB'] = mine.rssMb();
  return results;
}

function middle(numbers: number[]): { median: number; least: number; most: number } {
  const sorted = numbers.toSorted((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)] ?? Number.NaN, least: sorted[0] ?? Number.NaN, most: sorted.at(-1) ?? Number.NaN };
}

/** PostgreSQL round trips of one request at a time, counted on the wire, once everything is warm. */
async function roundTrips(databaseUrl: string, others: number[]): Promise<Record<string, number>> {
  const wire = await wireTo({ url: databaseUrl });
  const server = await startLatchkey(wire.address.url, 3143);
  const counts: Record<string, number> = {};
  try {
    const { email, tokens } = await person(server.port, `wire${Date.now()}`, others);
    let current = tokens;
    const requests: Record<string, () => Promise<Response>> = {
      me: () => fetch(`http://127.0.0.1:${server.port}/api/auth/me`, { headers: { authorization: `Bearer ${tokens.access_token}` } }),
      refresh: async () => {
        const answer = await ask(server.port, '/api/auth/refresh', { refresh_token: current.refresh_token });
        current = (await answer.clone().json()) as Person['tokens'];
        return answer;
      },
      'login, right': () => ask(server.port, '/api/auth/login', { email, password: PASSWORD }),
      'login, wrong': () => ask(server.port, '/api/auth/login', { email: `nobody${serial++}@example.com`, password: PASSWORD }),
      jwks: () => ask(server.port, '/.well-known/jwks.json'),
    };
    for (const [name, send] of Object.entries(requests)) {
      for (let warm = 0; warm < 30; warm++) await (await send()).arrayBuffer(); // every connection of the pool knows the statement
      const seen: number[] = [];
      for (let tries = 0; tries < 15; tries++) {
        wire.roundTrips();
        await (await send()).arrayBuffer();
        seen.push(wire.roundTrips());
      }
      counts[name] = Math.min(...seen); // the worker's poll, once a second, falls into some of them
    }
  } finally {
    await server.stop();
    await wire.close();
  }
  return counts;
}

const mineUrl = await database('latchkey_bench');
const otherUrl = await database('latchkey_bench_other');
const stops: (() => Promise<unknown>)[] = [];
try {
  const first = await startLatchkey(mineUrl, 3141);
  const firstIdleMb = first.rssMb();
  await first.stop();
  const mine = await startLatchkey(mineUrl, 3141);
  stops.push(mine.stop);
  const idleMb = mine.rssMb();
  const other = values['without-better-auth'] ? null : await startBetterAuth(otherUrl, 3142);
  let cookie = '';
  if (other) {
    stops.push(other.stop);
    const ada = { email: 'ada@example.com', password: PASSWORD, name: 'Ada' };
    const answer = await ask(other.port, '/api/auth/sign-up/email', ada, `http://127.0.0.1:${other.port}`);
    cookie = answer.headers.getSetCookie()[0]?.split(';')[0] ?? '';
  }
  const fastify = Fastify();
  fastify.get('/', async () => ({ status: 'ok' }));
  await fastify.listen({ host: '127.0.0.1', port: 0 });
  stops.push(() => fastify.close());
  const sql = postgres(mineUrl, {
    max: CONNECTIONS,
    fetch_types: false,
    connection: { enable_seqscan: 'off', plan_cache_mode: 'force_generic_plan' },
  }); // as ours

  stops.push(() => sql.end());

  // Who signs in again and again is not who refreshes: an account keeps so many sessions, and the oldest make room.
  const people: Person[] = [];
  const visitors: Person[] = [];
  for (let index = 0; index < IN_FLIGHT; index++) {
    people.push(await person(mine.port, `p${index}x${process.pid}`));
    visitors.push(await person(mine.port, `v${index}x${process.pid}`));
  }
  const [session] = await sql<{ id: string }[]>`select id from sessions limit 1`;
  const address = fastify.server.address();
  const bare = { port: typeof address === 'object' && address ? address.port : 0, sql, sid: session?.id ?? '' };

  const rounds: Round[] = [];
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  for (let index = 0; index < ROUNDS; index++) {
    for (const url of [mineUrl, otherUrl]) await vacuum(url);
    rounds.push(await round(mine, other, { people, visitors }, cookie, bare));
  }
  const cpu = process.cpuUsage(cpuBefore);
  const ownShare = (cpu.user + cpu.system) / 1000 / (performance.now() - startedAt);
  const trips = await roundTrips(mineUrl, [mine.port]);

  const of = (name: string) => middle(rounds.map((each) => each[name] ?? Number.NaN));
  const ratio = (name: string, limit: string) => middle(rounds.map((each) => (each[name] ?? Number.NaN) / (each[limit] ?? Number.NaN)));
  const line = (name: string, limit: string, target: string) => {
    const { median, least, most } = ratio(name, limit);
    return `| ${name} | ${of(name).median.toFixed(0)}/s | ${limit} ${of(limit).median.toFixed(0)}/s | **${median.toFixed(2)}** (${least.toFixed(2)} to ${most.toFixed(2)}) | ${target} |`;
  };
  const table = [
    '| what | rate | next to | ratio, median (least to most) | target |',
    '|---|---:|---:|---:|---|',
    line('login', 'bare argon2id', '≥ 0.90'),
    line('register', 'bare argon2id', '≥ 0.90'),
    line('refresh', 'bare rs256', '≥ 0.50'),
    line('me', 'bare sql', ''),
    line('jwks', 'bare fastify', ''),
    ...(other
      ? [
          line('better auth sign-in', 'bare argon2id', ''),
          line('login', 'better auth sign-in', ''),
          line('me', 'better auth get-session', '≥ 15'),
        ]
      : []),
    '',
    '| what | measured | target |',
    '|---|---:|---|',
    `| memory, idle (RSS): first start; a later one | ${firstIdleMb} MB; ${idleMb} MB | ≤ 110 MB |`,
    `| memory, under load (RSS) | ${of('rss under load, MB').most} MB | ≤ 250 MB |`,
    `| JWKS while 100 clients sign in, p99 | ${of('jwks while 100 sign in, p99 ms').median.toFixed(0)} ms, all 200 | ≤ 100 ms |`,
    `| /health/live while 100 clients sign in, p99 | ${of('live while 100 sign in, p99 ms').median.toFixed(0)} ms, all 200 | ≤ 100 ms |`,
    ...Object.entries(trips).map(
      ([name, count]) =>
        `| PostgreSQL round trips: ${name} | ${count} | ${{ me: 1, refresh: 1, 'login, right': 2, 'login, wrong': 2, jwks: 0 }[name]} |`,
    ),
    `| CPU of the load generator and the bare limits, of ${availableParallelism()} cores | ${ownShare.toFixed(2)} | |`,
  ].join('\n');
  console.log(
    `\n${ROUNDS} rounds of ${SECONDS} s each, ${IN_FLIGHT} in flight, ${availableParallelism()} cores, Node ${process.versions.node}\n\n${table}`,
  );
  if (values.json) writeFileSync(values.json, JSON.stringify({ rounds, trips, idleMb, firstIdleMb }, null, 2));
} finally {
  for (const stop of stops.reverse()) await stop();
  for (const name of ['latchkey_bench', 'latchkey_bench_other']) await admin.unsafe(`drop database if exists ${name} with (force)`);
  await admin.end();
}

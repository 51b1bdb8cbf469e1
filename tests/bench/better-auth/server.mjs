// Better Auth as its users run it in production, with our password hash, on the same PostgreSQL; no limits, no logs.
import http from 'node:http';
import { hash, verify } from '@node-rs/argon2';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { toNodeHandler } from 'better-auth/node';
import pg from 'pg';

const OPTIONS = { algorithm: 2, memoryCost: 19456, timeCost: 2, parallelism: 1, outputLen: 32 };
const port = Number(process.env.PORT);
const options = {
  baseURL: `http://127.0.0.1:${port}`,
  secret: 'a-secret-for-the-benchmark-and-nothing-else',
  database: new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 }),
  emailAndPassword: {
    enabled: true,
    password: { hash: (password) => hash(password, OPTIONS), verify: ({ hash: stored, password }) => verify(stored, password) },
  },
  rateLimit: { enabled: false },
  logger: { disabled: true },
  telemetry: { enabled: false },
};
await (await getMigrations(options)).runMigrations();
const handle = toNodeHandler(betterAuth(options));
http.createServer(handle).listen(port, '127.0.0.1', () => console.log('ready'));

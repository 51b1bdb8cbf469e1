import { z } from 'zod';
import { list, oneLine, origin, text, wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

const hostName = z
  .string()
  .regex(
    /^([a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])$/i,
    'give host names such as auth.example.com, without https:// or a path',
  );

/** Where the process listens, whom it answers and what it calls itself. */
export const SERVER_SETTINGS = {
  NODE_ENV: {
    describe: 'production refuses every development default by name',
    schema: z.enum(['development', 'test', 'production']),
    default: 'development',
  },
  PORT: { describe: 'where it listens; 0 takes any free port', schema: wholeNumber(0, 65535), default: '3000' },
  HOST: { describe: 'the address that it listens on', schema: text, default: '127.0.0.1' },
  MAX_CONNECTIONS: { describe: 'open at once; more are closed as they come', schema: wholeNumber(10, 100_000), default: '4000' },
  SHUTDOWN_DRAIN_SECONDS: {
    describe: 'after SIGTERM: how long requests are still taken while balancers learn that it goes (default: 5 in production, else 1)',
    schema: wholeNumber(0, 300),
  },
  DATA_DIR: { describe: 'the embedded database and generated secrets (development)', schema: text, default: '.data' },
  ISSUER: {
    describe: 'the public origin of this service: `iss` of its tokens (default: http://localhost:PORT)',
    schema: origin,
    production: 'required',
  },
  FRONTEND_URL: {
    describe: 'the origin that links in mail lead to (default: ISSUER, whose built-in pages answer)',
    schema: origin,
    production: 'required',
  },
  CORS_ORIGINS: { describe: 'comma-separated origins whose pages may call', schema: list.pipe(z.array(origin)), default: '' },
  ALLOWED_HOSTS: {
    describe: 'comma-separated host names served (default: that of ISSUER; in development localhost too)',
    schema: list.pipe(z.array(hostName)),
    default: '',
  },
  TRUST_PROXY: {
    describe: 'comma-separated addresses or CIDRs of proxies whose X-Forwarded-For counts',
    schema: list.pipe(z.array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], 'give addresses or CIDRs'))),
    default: '',
  },
  LOG_LEVEL: {
    describe: 'trace, debug, info, warn, error, fatal or silent',
    schema: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
  },
  ROLE: { describe: 'all, web (no worker) or worker (no API)', schema: z.enum(['all', 'web', 'worker']), default: 'all' },
  PRODUCT_NAME: { describe: 'how mails and pages call the service', schema: oneLine.max(60), default: 'Latchkey' },
} as const satisfies Record<string, Setting>;

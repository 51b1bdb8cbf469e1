import { z } from 'zod';
import { certificates, flag, url } from './schemas.ts';
import type { Setting } from './setting.ts';

export const REDIS_SETTINGS = {
  REDIS_URL: {
    describe: 'Redis 6.2 or newer, or Valkey (default outside production: limits are counted in this process)',
    schema: z.string().refine((value) => value.split(',').every((part) => url('redis:', 'rediss:').safeParse(part.trim()).success), {
      error: 'give a URL that begins with redis:// or rediss://',
    }),
    secret: true,
    production: 'required',
  },
  REDIS_CLUSTER: {
    describe: 'true: REDIS_URL names nodes of a cluster, comma-separated; one is enough to find the others',
    schema: flag,
    default: 'false',
  },
  REDIS_CA: {
    describe: 'certificates (PEM) to trust with rediss:// instead of the public ones; REDIS_CA_FILE names their file',
    schema: certificates,
  },
  REDIS_OPTIONAL: { describe: 'true: ready without Redis, although sign-in then answers 503', schema: flag, default: 'false' },
} as const satisfies Record<string, Setting>;

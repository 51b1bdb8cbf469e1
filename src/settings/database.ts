import { flag, url, wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

/** The drivers would guess all of one that names nothing, from PGHOST or the user of this process. */
const databaseUrl = url('postgres:', 'postgresql:').refine((value) => {
  if (!URL.canParse(value)) return true; // said already
  const { hostname, pathname } = new URL(value);
  return hostname !== '' || pathname.length > 1;
}, 'name the server, as postgres://user:password@host:5432/database');

export const DATABASE_SETTINGS = {
  DATABASE_URL: {
    describe: 'PostgreSQL 14 to 18 (default outside production: an embedded PostgreSQL 18 in DATA_DIR)',
    schema: databaseUrl,
    secret: true,
    production: 'required',
  },
  DATABASE_POOL_SIZE: { describe: 'connections of this process', schema: wholeNumber(2, 200), default: '10' },
  DATABASE_PREPARE: { describe: 'false behind PgBouncer in transaction mode', schema: flag, default: 'true' },
} as const satisfies Record<string, Setting>;

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { connect } from '#infrastructure/postgres/connect.ts';
import { migrate } from '#infrastructure/postgres/migrate.ts';
import { createDatabase, dropDatabase, inDatabase } from '#tests/support/database.ts';
import { signedInPerson, tokensOf, verifiedPerson } from '#tests/support/people.ts';
import { type PgBouncer, pgbouncer } from '#tests/support/pgbouncer.ts';
import { has } from '#tests/support/programs.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** Fewer connections of the server than either replica would open by itself: statements of all clients share them. */
const POOL_SIZE = 3;

describe.runIf(has('pgbouncer'))('behind PgBouncer in transaction mode', () => {
  let between: PgBouncer;
  beforeAll(async () => {
    between = await pgbouncer(inject('postgres'), POOL_SIZE);
  });
  afterAll(() => between.stop());

  describe('the service', () => {
    let replicas: TestService[];
    let service: TestService;
    beforeEach(async () => {
      const settings = { DATABASE_PREPARE: 'false', LOG_LEVEL: 'silent' };
      const web = { ...settings, ROLE: 'web' }; // mail is read where it is delivered: by one of them
      const direct = await startService({ settings: web }); // for its database
      const address = between.address(direct.database.address);
      service = await startService({ settings, database: direct.database, address });
      replicas = [service, await startService({ settings: web, database: direct.database, address }), direct];
    });
    afterEach(async () => {
      for (const replica of [...replicas].reverse().slice(1)) await replica.stop();
      await replicas.at(-1)?.stop();
    });

    it('does its main job: register, verify, sign in, refresh, me, sign out', async () => {
      const person = await signedInPerson(service);
      const next = tokensOf(await service.api().post('/api/auth/refresh', { refresh_token: person.refreshToken }));
      expect(await service.api().get('/api/auth/me', next.accessToken)).toMatchObject({ status: 200, body: { id: person.id } });
      expect(await service.api().post('/api/auth/logout', undefined, next.accessToken)).toMatchObject({ status: 204 });
      expect(await service.api().get('/api/auth/me', next.accessToken)).toMatchObject({ status: 401 });
    });

    it('mixes nothing up and fails nothing when many ask two replicas at once', async () => {
      const people = await Promise.all(Array.from({ length: 8 }, () => verifiedPerson(service)));
      const rounds = people.flatMap((person) =>
        replicas.slice(0, 2).map(async (replica) => {
          const api = replica.api();
          let tokens = tokensOf(await api.post('/api/auth/login', { email: person.email, password: person.password }));
          for (let round = 0; round < 5; round += 1) {
            tokens = tokensOf(await api.post('/api/auth/refresh', { refresh_token: tokens.refreshToken }));
            const answers = await Promise.all(Array.from({ length: 4 }, () => api.get('/api/auth/me', tokens.accessToken)));
            for (const answer of answers) expect(answer).toMatchObject({ status: 200, body: { id: person.id } });
          }
          expect(await api.post('/api/auth/logout', undefined, tokens.accessToken)).toMatchObject({ status: 204 });
        }),
      );
      await Promise.all(rounds);
      const [left] = await service.sql`select count(*)::int as open from sessions where revoked_at is null`;
      expect(left).toEqual({ open: 0 });
    });

    it('answers 503 while it is away, and works by itself when it is back', async () => {
      const person = await signedInPerson(service);
      await between.kill();
      expect(await service.api().get('/api/auth/me', person.accessToken)).toMatchObject({ status: 503 });
      await between.start();
      await until('me answers again', async () => (await service.api().get('/api/auth/me', person.accessToken)).status === 200);
    });
  });

  it('migrations run once when more start at once than PgBouncer has connections, and leave no lock behind', async () => {
    const server = inject('postgres');
    const name = await createDatabase(server);
    try {
      const address = inDatabase(server, name);
      const starts = Array.from({ length: 2 * POOL_SIZE }, () => migrate(between.address(address), new Date()));
      const applied = (await Promise.all(starts)).filter((names) => names.length > 0);
      expect(applied).toHaveLength(1);
      expect(await migrate(between.address(address), new Date())).toEqual([]);
      const sql = connect(address, { max: 1 });
      try {
        expect(
          await sql`select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = ${name})`,
        ).toHaveLength(0);
      } finally {
        await sql.end();
      }
    } finally {
      await dropDatabase(server, name);
    }
  });
});

import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { MOST_AUTOMATIC_IP_BLOCKS, MOST_IP_BLOCKS } from '#domain/ip-blocks.ts';
import { openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { eventOf, holderOf } from '#tests/support/admins.ts';
import { expectProblem, tally } from '#tests/support/api.ts';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

const service = await startService();
const { sql, clock } = service;
const other = await startService({ settings: { DATABASE_POOL_SIZE: '3' }, database: service.database, clock });
const api = service.api({ ip: '198.51.100.1' });
const admin = await holderOf(service, 'admin');
afterAll(async () => {
  await other.stop();
  await service.stop();
});
beforeEach(async () => {
  await sql`delete from ip_blocks`;
});

const BLOCKS = '/api/admin/ip-blocks';
const block = (network: string, more: object = {}) => api.post(BLOCKS, { network, reason: 'a test', ...more }, admin.accessToken);
const REPLICAS = [service, other];
/** Both replicas say so, within the two seconds of the contract. @returns how long it took */
async function everywhere(ip: string, what: 'blocked' | 'open'): Promise<number> {
  const startedAtMs = performance.now();
  await until(`${ip} is ${what}`, async () => {
    const answers = await Promise.all(REPLICAS.map((replica) => replica.api({ ip }).get('/problems-of-nobody')));
    return answers.every(({ status }) => (status === 403) === (what === 'blocked'));
  });
  return performance.now() - startedAtMs;
}

describe('a block', () => {
  it('[V2.4.1] holds at every replica within two seconds, and ends as fast', async () => {
    const { status, body } = await block('203.0.113.0/24');
    expect(status).toBe(201);
    expect(body).toMatchObject({ network: '203.0.113.0/24', reason: 'a test', origin: 'manual', created_by: admin.id, ends_at: null });
    expect(await everywhere('203.0.113.9', 'blocked')).toBeLessThan(2000);
    for (const replica of REPLICAS) {
      const stranger = replica.api({ ip: '203.0.113.200' });
      expectProblem(await stranger.post('/api/auth/login', { email: 'x@example.com', password: 'x' }), 'forbidden');
      expectProblem(await stranger.get('/api/auth/me', admin.accessToken), 'forbidden');
      expect((await replica.api({ ip: '203.0.114.1' }).get('/api/auth/me', admin.accessToken)).status).toBe(200);
    }
    expect((await api.delete(`${BLOCKS}/${body.id}`, admin.accessToken)).status).toBe(204);
    expect(await everywhere('203.0.113.9', 'open')).toBeLessThan(2000);
  });

  it('is met before anything is looked up, limited or said about the path', async () => {
    await block('203.0.113.77');
    await everywhere('203.0.113.77', 'blocked');
    const answer = await service.api({ ip: '203.0.113.77' }).post('/api/auth/login', { email: 'x@example.com', password: 'x' });
    expectProblem(answer, 'forbidden');
    expect(answer.headers['ratelimit']).toBeUndefined();
    expect(await sql`select from audit_events where ip = '203.0.113.77'`).toHaveLength(0);
    expectProblem(await service.api({ ip: '::ffff:203.0.113.77' }).get('/api/auth/me'), 'forbidden');
  });

  it('is asked for in memory: requests are answered while nobody can read the list', async () => {
    await block('203.0.113.88');
    await everywhere('203.0.113.88', 'blocked');
    await sql.begin(async (tx) => {
      await tx`lock table ip_blocks, ip_block_revisions in access exclusive mode`;
      for (const replica of REPLICAS) {
        expect((await replica.api({ ip: '203.0.113.89' }).get('/api/auth/me', admin.accessToken)).status).toBe(200);
        expectProblem(await replica.api({ ip: '203.0.113.88' }).get('/api/auth/me', admin.accessToken), 'forbidden');
      }
    });
    expect(await everywhere('203.0.113.88', 'blocked')).toBeLessThan(2000);
  });

  it('leaves probes, keys and metadata alone', async () => {
    await block('2001:db8::/32');
    await everywhere('2001:db8:1::5', 'blocked');
    const stranger = service.api({ ip: '2001:db8:1::5' });
    for (const path of ['/health', '/health/live', '/health/ready', '/.well-known/jwks.json', '/.well-known/openid-configuration']) {
      expect((await stranger.get(path)).status, path).toBe(200);
    }
  });

  it('ends by itself, in memory and in the list', async () => {
    const ends_at = new Date(clock.now().getTime() + 60_000).toISOString();
    expect((await block('203.0.113.1', { ends_at })).body.ends_at).toBe(ends_at);
    await everywhere('203.0.113.1', 'blocked');
    clock.advance(60);
    expect((await service.api({ ip: '203.0.113.1' }).get('/api/auth/me')).status).toBe(401); // at once: nobody has to look first
    expect((await api.get(BLOCKS, admin.accessToken)).body.ip_blocks).toEqual([]);
    await block('203.0.113.1');
    await everywhere('203.0.113.1', 'blocked');
  });

  it.each([
    '198.51.100.1',
    '198.51.100.0/24',
    '::ffff:198.51.100.1',
    '0.0.0.0/0',
    '::/0',
    '127.0.0.1',
    '::1',
    'example.com',
    '203.0.113.1/24',
  ])('of %s is refused with a reason: nobody locks themselves or everybody out', async (network) => {
    const answer = await block(network);
    expectProblem(answer, 'invalid-request');
    expect(answer.body.errors[0]).toMatchObject({ pointer: '/network', detail: expect.stringMatching(/^(It|Give) /) });
  });

  it.each([
    { ends_at: '2020-01-01T00:00:00Z' },
    { ends_at: 'soon' },
    { ends_at: '9999-12-31T23:59:59-14:00' },
    { reason: '' },
    { reason: 'two\nlines' },
    { origin: 'automatic' },
  ])('with %j is refused as a bad request', async (more) => expectProblem(await block('203.0.113.2', more), 'invalid-request'));

  it('of a network that is blocked is refused, though fifty come at once', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => block('203.0.113.3')));
    expect(tally(answers)).toEqual({ '201': 1, conflict: 49 });
  });

  it('is audited with what it was and who did it', async () => {
    const { body } = await block('203.0.113.4', { reason: 'noise' });
    const details = { id: body.id, network: '203.0.113.4/32', reason: 'noise', origin: 'manual', ends_at: null };
    expect((await eventOf(service, 'IP_BLOCKED', admin.id))?.['details']).toMatchObject({
      actor_id: admin.id,
      before: null,
      after: details,
    });
    await api.delete(`${BLOCKS}/${body.id}`, admin.accessToken);
    expect((await eventOf(service, 'IP_UNBLOCKED', admin.id))?.['details']).toMatchObject({ before: details, after: null });
    expectProblem(await api.delete(`${BLOCKS}/${body.id}`, admin.accessToken), 'not-found');
  });

  it('is listed page by page, the newest first', async () => {
    for (let i = 1; i <= 5; i++) await block(`203.0.113.${i}`);
    const first = (await api.get(`${BLOCKS}?limit=3`, admin.accessToken)).body;
    const second = (await api.get(`${BLOCKS}?limit=3&cursor=${first.next_cursor}`, admin.accessToken)).body;
    const networks = [...first.ip_blocks, ...second.ip_blocks].map(({ network }) => network);
    expect(networks).toEqual([5, 4, 3, 2, 1].map((i) => `203.0.113.${i}/32`));
    expect(second.next_cursor).toBeNull();
  });

  it('asks for step-up', async () => {
    clock.advance(601);
    expectProblem(await block('203.0.113.5'), 'insufficient-user-authentication');
    expect((await api.get(BLOCKS, admin.accessToken)).status).toBe(200);
    await sql`update sessions set auth_time = ${clock.now()} where id = ${admin.sessionId}`;
  });
});

describe('automatic blocks', () => {
  const database = openDatabase(service.database.address, { poolSize: 2, prepare: true });
  const store = postgresStore(database);
  afterAll(() => database.close());
  const add = (network: string, seconds: number | null, origin: 'automatic' | 'manual' = 'automatic') =>
    store.transaction((tx) =>
      tx.ipBlocks.add({
        id: crypto.randomUUID(),
        network,
        reason: 'too many failures',
        createdBy: null,
        createdAt: clock.now(),
        origin,
        endsAt: seconds === null ? null : new Date(clock.now().getTime() + seconds * 1000),
      } as Parameters<typeof tx.ipBlocks.add>[0]),
    );

  it('must end, are made longer and never shorter, and give way to one made by somebody', async () => {
    await expect(add('203.0.113.6/32', null)).rejects.toThrow(/ip_blocks_automatic_end/);
    expect(await add('203.0.113.6/32', 60)).toMatchObject({ origin: 'automatic', network: '203.0.113.6/32' });
    expect(await add('203.0.113.6/32', 30)).toBe('exists');
    expect(await add('203.0.113.6/32', 90)).toMatchObject({ endsAt: new Date(clock.now().getTime() + 90_000) });
    expect((await block('203.0.113.6')).body).toMatchObject({ origin: 'manual', ends_at: null });
    expect(await add('203.0.113.6/32', 900)).toBe('exists');
  });

  it('have their own bound: those of people leave room for them, and they for those of people', async () => {
    await sql`insert into ip_blocks (id, network, reason, origin, created_at, ends_at)
      select gen_random_uuid(), ('12.' || (i >> 8) || '.' || (i & 255) || '.0/24')::cidr, 'x', 'manual', ${clock.now()}, null
      from generate_series(1, ${MOST_AUTOMATIC_IP_BLOCKS}) i`;
    expect(await add('203.0.113.9/32', 60)).toMatchObject({ origin: 'automatic' });
    await sql`delete from ip_blocks where network << '12.0.0.0/8'`;
  });

  it('are bounded in number; what has ended makes room', async () => {
    const soon = new Date(clock.now().getTime() + 60_000);
    await sql`insert into ip_blocks (id, network, reason, origin, created_at, ends_at)
      select gen_random_uuid(), ('10.' || (i >> 8) || '.' || (i & 255) || '.0/24')::cidr, 'x', 'automatic', ${clock.now()}, ${soon}
      from generate_series(1, ${MOST_AUTOMATIC_IP_BLOCKS}) i`;
    expect(await add('203.0.113.7/32', 60)).toBe('full');
    expect((await block('203.0.113.8', { ends_at: soon })).status).toBe(201); // people still can
    await sql`insert into ip_blocks (id, network, reason, origin, created_at, ends_at)
      select gen_random_uuid(), ('11.' || (i >> 8) || '.' || (i & 255) || '.0/24')::cidr, 'x', 'manual', ${clock.now()}, ${soon}
      from generate_series(2, ${MOST_IP_BLOCKS - MOST_AUTOMATIC_IP_BLOCKS}) i`;
    expectProblem(await block('203.0.113.7'), 'conflict');
    clock.advance(60);
    expect(await add('203.0.113.7/32', 60)).toMatchObject({ network: '203.0.113.7/32' });
    expect((await sql`select from ip_blocks where ends_at <= ${clock.now()}`).length).toBe(MOST_IP_BLOCKS - 100);
  });
});

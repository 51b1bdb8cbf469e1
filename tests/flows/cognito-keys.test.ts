import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { DAY, HOUR, MINUTE } from '#tests/support/clock.ts';
import { type CognitoStub, cognitoStub } from '#tests/support/cognito-stub.ts';
import { tokensOf } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** The keys of the pool grow old: those that it withdrew are forgotten, and those that it cannot give are kept for a while. */

let pool: CognitoStub;
let service: TestService;
const lines: string[] = [];
beforeAll(async () => {
  pool = await cognitoStub();
  const settings = { AUTH_PROVIDER: 'cognito', LOG_LEVEL: 'warn', ...pool.settings };
  service = await startService({ settings, logTo: { write: (line: string) => void lines.push(line) } });
});
beforeEach(async () => {
  pool.hasKeys = true;
  pool.keysAfterMs = 0;
  service.clock.advance(DAY); // none of the tests before has left keys that are fresh
  tokensOf(await exchange(await pool.idToken(pool.add())));
  pool.jwksFetches = 0;
});
afterAll(async () => {
  await service.stop();
  await pool.stop();
});

const exchange = (token: string) => service.api().post('/api/auth/exchange', { provider: 'cognito', token });
const token = () => pool.idToken(pool.add());
const signIn = () => {
  const { email, password } = pool.add();
  return service.api().post('/api/auth/login', { email, password });
};

describe('the keys of a pool', () => {
  it.each([
    ['another name', 'another'],
    ['the same name', undefined],
  ])('that it withdrew open nothing after an hour, though the new ones have %s', async (_what, name) => {
    const leaked = pool.replaceKey(name);
    service.clock.advance(HOUR + MINUTE);
    expectProblem(await exchange(await pool.idToken(pool.add(), {}, leaked)), 'invalid-token'); // nobody came before with a new one
    tokensOf(await exchange(await token()));
    tokensOf(await signIn());
  });

  it('are fetched once an hour, once for all who ask at once', async () => {
    service.clock.advance(HOUR - MINUTE);
    tokensOf(await exchange(await token()));
    tokensOf(await signIn());
    expect(pool.jwksFetches).toBe(0);
    service.clock.advance(2 * MINUTE);
    pool.keysAfterMs = 100;
    const asked = Array.from({ length: 20 }, async (_, index) => (index % 2 ? signIn() : exchange(await token())));
    for (const answer of await Promise.all(asked)) tokensOf(answer);
    expect(pool.jwksFetches).toBe(1);
    tokensOf(await exchange(await token()));
    expect(pool.jwksFetches).toBe(1);
  });

  it('are waited for no longer than a second while there are others, and those that came late count for the next one', async () => {
    const { COGNITO_TIMEOUT_MS: limitMs } = service.config;
    pool.keysAfterMs = 2500;
    expect(limitMs).toBeGreaterThan(pool.keysAfterMs);
    const withdrawn = pool.replaceKey('late');
    service.clock.advance(HOUR + MINUTE);
    const startMs = performance.now();
    tokensOf(await exchange(await pool.idToken(pool.add(), {}, withdrawn)));
    tokensOf(await exchange(await pool.idToken(pool.add(), {}, withdrawn)));
    expect(performance.now() - startMs).toBeLessThan(2400);
    pool.keysAfterMs = 0; // for those that come after
    await until('they are here', async () => (await exchange(await pool.idToken(pool.add(), {}, withdrawn))).status !== 200);
    tokensOf(await exchange(await token()));
  });

  it('go on for a day while no others can be had, which the log tells; after that it is 503 until they can', async () => {
    pool.hasKeys = false;
    lines.length = 0;
    service.clock.advance(HOUR + MINUTE);
    for (let times = 0; times < 5; times++) tokensOf(await exchange(await token()));
    tokensOf(await signIn());
    expect(pool.jwksFetches).toBe(1);
    expect(lines.filter((line) => line.includes('keys of Cognito'))).toHaveLength(1);
    service.clock.advance(DAY - HOUR - 2 * MINUTE);
    tokensOf(await exchange(await token()));
    expect(pool.jwksFetches).toBe(2);
    service.clock.advance(2 * MINUTE);
    expect(tally(await Promise.all([exchange(await token()), signIn(), exchange(await token())]))).toEqual({ unavailable: 3 });
    pool.hasKeys = true;
    tokensOf(await exchange(await token()));
    tokensOf(await signIn());
  });

  it('are fetched anew when the clock was wrong and is right again', async () => {
    service.clock.advance(DAY * 30);
    tokensOf(await exchange(await token()));
    service.clock.advance(-DAY * 30);
    pool.jwksFetches = 0;
    tokensOf(await exchange(await token()));
    expect(pool.jwksFetches).toBe(1);
  });
});

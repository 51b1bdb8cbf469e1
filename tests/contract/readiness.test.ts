import { expect, it } from 'vitest';
import type { KeyPublisher } from '#application/ports/services.ts';
import { operationRoutes } from '#http/routes/operations.ts';

it('[V15.2.2] readiness asks a dependency once for everybody who wants to know at that time, and anew for the next one', async () => {
  let answer: (state: 'up' | 'down') => void = () => {};
  let asked = 0;
  const check = () => {
    asked++;
    return new Promise<'up' | 'down'>((resolve) => {
      answer = resolve;
    });
  };
  const routes = operationRoutes({
    dependencies: [{ name: 'redis', optional: false, check }],
    isStopping: () => false,
    keys: {} as KeyPublisher,
    issuer: 'http://localhost:3000',
  });
  const ready = routes.find(({ path }) => path === '/health/ready');
  const ask = () => ready?.handler({} as never);

  const first = Array.from({ length: 50 }, ask);
  expect(asked).toBe(1);
  answer('down');
  expect((await Promise.all(first)).map((one) => one && 'status' in one && one.status)).toEqual(first.map(() => 503));
  const next = ask();
  expect(asked).toBe(2);
  answer('up');
  expect(await next).toMatchObject({ status: 200, body: { status: 'ready', dependencies: { redis: 'up' } } });
});

import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { DependencyDown } from '#application/ports/errors.ts';
import { expectProblem } from '#tests/support/api.ts';
import { newEmail } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

const service = await startService({ settings: { LOG_LEVEL: 'silent' } });
const api = service.api();
const handlers = new Map(service.routes.filter(({ isEven }) => isEven).map((route) => [route, route.handler]));
afterEach(() => {
  for (const [route, handler] of handlers) route.handler = handler;
});
afterAll(service.stop);

/** Asks the route, whose flow ends so. */
async function asked(path: string, failure?: Error) {
  for (const route of handlers.keys()) if (failure) route.handler = () => Promise.reject(failure);
  const startedMs = performance.now();
  const answer = await api.post(path, { email: newEmail() });
  return { answer, ms: performance.now() - startedMs };
}

describe.each([...handlers.keys()].map(({ path }) => path))('%s, whose answers wait for the next tenth of a second', (path) => {
  it('[V13.1.3] tells of a dependency that is down at once: 400 ms of its 500 are gone by then', async () => {
    // A busy machine may take longer now and then; what waits never does better.
    await until('a 503 that did not wait', async () => {
      const { answer, ms } = await asked(path, new DependencyDown('postgres'));
      expectProblem(answer, 'unavailable');
      return ms < 80;
    });
  });

  it('[V6.3.8] waits with everything else, a fault of ours too', async () => {
    const { answer, ms } = await asked(path);
    expect(answer.status).toBe(202);
    expect(ms).toBeGreaterThan(98); // a timer may fire a millisecond early
    const fault = await asked(path, new Error('a test'));
    expectProblem(fault.answer, 'internal-error');
    expect(fault.ms).toBeGreaterThan(98);
  });
});

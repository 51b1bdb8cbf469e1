import type { Api, Caller } from './api.ts';
import { startService, type TestService } from './service.ts';

export type Replicas = {
  both: [TestService, TestService];
  /** The two as one, behind a balancer that sends each request to the other one than the last. */
  balanced: TestService;
  stop(): Promise<void>;
};

/** Two replicas on one database and one Redis, with the same limits; the first does the work of the background, so mail is found there. */
export async function startReplicas(settings: Record<string, string> = {}): Promise<Replicas> {
  const shared = { RATE_LIMIT_PREFIX: `latchkey_test_${process.pid}_${Date.now()}`, ...settings };
  const first = await startService({ settings: shared });
  const second = await startService({ settings: { ...shared, ROLE: 'web' }, database: first.database, clock: first.clock });
  const both: [TestService, TestService] = [first, second];
  let turn = 0;
  const api = (caller?: Caller): Api => {
    const apis = both.map((replica) => replica.api(caller));
    const next = () => {
      turn += 1;
      return apis[turn % 2] as Api;
    };
    return {
      request: (...asked) => next().request(...asked),
      get: (...asked) => next().get(...asked),
      post: (...asked) => next().post(...asked),
      put: (...asked) => next().put(...asked),
      patch: (...asked) => next().patch(...asked),
      delete: (...asked) => next().delete(...asked),
    };
  };
  return {
    both,
    balanced: { ...first, api },
    async stop() {
      await second.stop();
      await first.stop();
    },
  };
}

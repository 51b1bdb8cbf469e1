import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { visible } from '../support/api.ts';
import { mannWhitney } from '../support/mann-whitney.ts';
import { newEmail, PASSWORD, registeredPerson, verifiedPerson } from '../support/people.ts';
import { startService, type TestService } from '../support/service.ts';

/** STANDARDS T14: what a stranger can learn of an address, by body, header and time. */

const SAMPLES = 200;
const KINDS = ['unknown', 'verified', 'unverified', 'suspended'] as const;
type Kind = (typeof KINDS)[number];

let service: TestService;
let known: Record<Exclude<Kind, 'unknown'>, string>;
beforeAll(async () => {
  service = await startService();
  const suspended = await verifiedPerson(service);
  await service.sql`update accounts set status = 'suspended' where id = ${suspended.id}`;
  known = {
    verified: (await verifiedPerson(service)).email,
    unverified: (await registeredPerson(service)).email,
    suspended: suspended.email,
  };
});
afterAll(() => service.stop());

/** How each is asked, and by how many at once: those whose answers wait do not keep each other up. */
const ASKED: Record<string, { lanes: number; ask(email: string): [path: string, body: object] }> = {
  register: { lanes: 1, ask: (email) => ['/api/auth/register', { email, password: PASSWORD }] },
  login: { lanes: 1, ask: (email) => ['/api/auth/login', { email, password: 'not the right one at all' }] },
  'forgot-password': { lanes: 16, ask: (email) => ['/api/auth/forgot-password', { email }] },
  'resend-verification': { lanes: 16, ask: (email) => ['/api/auth/resend-verification', { email }] },
};

/** Times of answers in milliseconds by kind, in an order that nobody can guess. */
async function measure({ lanes, ask }: (typeof ASKED)[string], samples: number): Promise<Record<Kind, number[]>> {
  const times: Record<Kind, number[]> = { unknown: [], verified: [], unverified: [], suspended: [] };
  const seen = new Map<Kind, object>();
  const order = KINDS.flatMap((kind) => Array.from({ length: samples }, () => kind)).sort(() => Math.random() - 0.5);
  const lane = async () => {
    const api = service.api();
    for (let kind = order.pop(); kind !== undefined; kind = order.pop()) {
      const [path, body] = ask(kind === 'unknown' ? newEmail() : known[kind]);
      const startedMs = performance.now();
      const answer = await api.post(path, body);
      times[kind].push(performance.now() - startedMs);
      seen.set(kind, visible(answer));
      if (answer.status === 401) await service.sql`delete from login_throttles`;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  for (const kind of KINDS) expect(seen.get(kind), kind).toEqual(seen.get('unknown'));
  return times;
}

describe('whether an address has an account', () => {
  it.each(Object.entries(ASKED))('[V6.3.8] is told by %s neither in body nor header nor time', { timeout: 120_000 }, async (_, asked) => {
    await measure(asked, 20); // caches are warm for all kinds alike from then on
    // Chance makes one measurement in a hundred look different. What can be told apart looks different every time.
    const suspects = new Set<Kind>(['verified', 'unverified', 'suspended']);
    for (let time = 0; time < 3 && suspects.size > 0; time++) {
      const times = await measure(asked, SAMPLES);
      for (const kind of [...suspects]) if (mannWhitney(times.unknown, times[kind]) > 0.01) suspects.delete(kind);
    }
    expect([...suspects]).toEqual([]);
  });
});

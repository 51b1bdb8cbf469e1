import { asOwnerSees, type OwnEvent } from '#domain/activity.ts';
import type { Client } from '#domain/client.ts';
import { auditEvent } from './audit.ts';
import type { Account } from './ports/accounts.ts';
import type { Authenticators } from './ports/authenticators.ts';
import type { HeldDevice, HeldIdentity, HeldMessage, HeldSession, HeldTicket } from './ports/holdings.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import type { EventPosition } from './ports/store.ts';

/** Read from the store when it is asked for, a page at a time: an account may have more events than fit in memory. */
type Pages<T> = AsyncIterable<T[]>;

export type AccountExport = {
  exportedAt: Date;
  account: Account & { hasPassword: boolean };
  authenticators: Authenticators;
  devices: HeldDevice[];
  identities: HeldIdentity[];
  sessions: Pages<HeldSession>;
  tickets: Pages<HeldTicket>;
  messages: Pages<HeldMessage>;
  /** The newest first. */
  events: Pages<OwnEvent>;
};

const PAGE = 500;

/** Everything that is held on a user, for themselves (GDPR articles 15 and 20), without anything that would sign in. Each is audited. */
export function exportAccount({ store, secrets, clock }: Needs<'store' | 'secrets' | 'clock'>) {
  return async ({ account, session }: Caller, client: Client): Promise<AccountExport> => {
    const at = clock.now();
    const { id } = account;
    const event = auditEvent(secrets, 'ACCOUNT_EXPORTED', client, at, { accountId: id, sessionId: session.id });
    await store.transaction((tx) => tx.audit.record(event));
    const [current, authenticators, devices, identities] = await Promise.all([
      store.read((records) => records.accounts.findWithPassword(id)),
      store.read((records) => records.authenticators.list(id)),
      store.read(({ holdings }) => holdings.devices(id)),
      store.read(({ holdings }) => holdings.identities(id)),
    ]);
    const { passwordHash, ...known } = current ?? { ...account, passwordHash: null };
    const idOf = (last: { id: string }) => last.id;
    return {
      exportedAt: at,
      account: { ...known, hasPassword: passwordHash !== null },
      authenticators,
      devices,
      identities,
      sessions: pages((after: string | null) => store.read(({ holdings }) => holdings.sessions(id, after, PAGE)), idOf),
      tickets: pages((after: string | null) => store.read(({ holdings }) => holdings.tickets(id, after, PAGE)), idOf),
      messages: pages((after: string | null) => store.read(({ holdings }) => holdings.messages(id, after, PAGE)), idOf),
      events: pages(
        async (after: EventPosition | null) =>
          (await store.read(({ audit }) => audit.listOfAccount(id, null, PAGE, after))).map(asOwnerSees),
        (last) => ({ occurredAt: last.occurredAt, id: last.id }),
      ),
    };
  };
}

async function* pages<T, Place>(read: (after: Place | null) => Promise<T[]>, placeOf: (last: T) => Place): AsyncGenerator<T[]> {
  for (let after: Place | null = null; ; ) {
    const page: T[] = await read(after);
    if (page.length > 0) yield page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = placeOf(last);
  }
}

import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import type { ServiceClient } from './ports/store.ts';

/** What our own ids and secrets look like: whatever else comes is refused without a question to the database. */
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SECRET = /^[\w-]{43}$/;

/** Credentials of services that ask about tokens: 256 random bits, shown once, kept as a hash (ASVS 11.5.1). */
export function serviceClients({ store, secrets, clock }: Needs<'store' | 'secrets' | 'clock'>) {
  return {
    /** @returns the client that these are the credentials of; null for anything else, in one look */
    async authenticate(id: string, secret: string): Promise<ServiceClient | null> {
      if (!ID.test(id) || !SECRET.test(secret)) return null;
      return await store.read((records) => records.serviceClients.find(id, secrets.ticketHash(secret)));
    },

    list: (): Promise<ServiceClient[]> => store.read((records) => records.serviceClients.list()),

    /** @returns its credentials; the secret can be had only here */
    async create(name: string, client: Client): Promise<{ id: string; secret: string }> {
      const at = clock.now();
      const id = secrets.id();
      const { token: secret, hash } = secrets.ticket();
      await store.transaction(async (tx) => {
        await tx.serviceClients.add({ id, name, secretHash: hash }, at);
        await tx.audit.record(auditEvent(secrets, 'SERVICE_CLIENT_MADE', client, at, { details: { before: null, after: { id, name } } }));
      });
      return { id, secret };
    },

    /** From the next request on it is nobody. */
    async revoke(id: string, client: Client): Promise<null | Refusal<'not-found'>> {
      const at = clock.now();
      if (!ID.test(id)) return refuse('not-found');
      return await store.transaction(async (tx) => {
        const revoked = await tx.serviceClients.revoke(id, at);
        if (revoked === null) return refuse('not-found');
        const details = { before: { id, name: revoked.name }, after: null };
        await tx.audit.record(auditEvent(secrets, 'SERVICE_CLIENT_REVOKED', client, at, { details }));
        return null;
      });
    },
  };
}

import { serviceClients } from '#application/service-clients.ts';
import { localClient } from '#domain/client.ts';
import { deriveKeys } from '#infrastructure/crypto/derive-keys.ts';
import { secrets } from '#infrastructure/crypto/secrets.ts';
import { openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import type { TestService } from './service.ts';

const COMMAND_LINE = localClient('cli', { ip: '127.0.0.1' });

/** A service with credentials, made as on the command line. */
export async function serviceClient({ database, clock }: TestService, name = 'a service') {
  const own = openDatabase(database.address, { poolSize: 1, prepare: true });
  try {
    const clients = serviceClients({ store: postgresStore(own), secrets: secrets(deriveKeys(Buffer.alloc(32))), clock });
    const { id, secret } = await clients.create(name, COMMAND_LINE);
    return { id, secret, authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` };
  } finally {
    await own.close();
  }
}

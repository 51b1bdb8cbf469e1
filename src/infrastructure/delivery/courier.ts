import { randomUUIDv7 } from 'node:crypto';
import type { Unsealer } from '#application/deliver-messages.ts';
import type { Courier } from '#application/ports/services.ts';
import { openMessage, sealMessage } from '../crypto/sealed-messages.ts';

/**
 * Seals messages on their way into the outbox and opens them for the worker: they hold live tokens, of which the database
 * keeps nothing readable (docs/adr/0006).
 * @param key 256 bits, derived from SECRET_KEY
 * @param wake tells the worker of this process that there is something to send
 */
export function sealingCourier(key: Buffer, wake: () => void): Courier & { unseal: Unsealer } {
  return {
    seal(template, content, expiresAt) {
      const id = randomUUIDv7();
      return { id, kind: 'email', template, sealed: sealMessage(key, id, Buffer.from(JSON.stringify(content))), expiresAt };
    },
    unseal: (message) => JSON.parse(openMessage(key, message.id, message.sealed).toString('utf8')),
    wake,
  };
}

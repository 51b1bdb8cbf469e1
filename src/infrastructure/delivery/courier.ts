import { randomUUIDv7 } from 'node:crypto';
import type { Unsealer } from '#application/deliver-messages.ts';
import type { OutboxMessage } from '#application/ports/outbox.ts';
import type { Courier, Email } from '#application/ports/services.ts';
import { openMessage, sealMessage } from '../crypto/sealed-messages.ts';

/**
 * Seals messages on their way into the outbox and opens them for the worker: they hold live tokens, of which the database
 * keeps nothing readable (docs/adr/0006).
 * @param key 256 bits, derived from SECRET_KEY
 * @param wake tells the worker of this process that there is something to send
 */
export function sealingCourier(key: Buffer, wake: () => void): Courier & { unseal: Unsealer } {
  const seal = (kind: OutboxMessage['kind'], template: string, content: Omit<Email, 'to'>, expiresAt: Date): OutboxMessage => {
    const id = randomUUIDv7();
    return { id, kind, template, sealed: sealMessage(key, id, Buffer.from(JSON.stringify(content))), expiresAt };
  };
  return {
    seal: (template, content, expiresAt) => seal('email', template, content, expiresAt),
    sealSms: (template, text, expiresAt) => seal('sms', template, { subject: '', text, html: '' }, expiresAt),
    unseal: (message) => JSON.parse(openMessage(key, message.id, message.sealed).toString('utf8')),
    wake,
  };
}

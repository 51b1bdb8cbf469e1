import type { MailboxMessage, MailboxView } from '#application/ports/mailbox.ts';
import type { Clock, Delivery } from '#application/ports/services.ts';

/** Enough for a day of trying things out; the oldest go first. */
const MOST_KEPT = 1000;

/** The development mailbox: keeps messages in memory instead of sending them. Never in production. */
export function mailbox(clock: Clock): Delivery & MailboxView {
  let messages: MailboxMessage[] = [];
  return {
    async send({ id, kind, to, subject, text, html }) {
      const links = text.match(/https?:\/\/\S+/g) ?? [];
      messages = [{ id, kind, to, subject, text, html, links, createdAt: clock.now() }, ...messages].slice(0, MOST_KEPT);
      return id;
    },
    list: () => messages,
  };
}

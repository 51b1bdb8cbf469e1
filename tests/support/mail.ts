import type { Sql } from 'postgres';
import type { MailboxMessage, MailboxView } from '#application/ports/mailbox.ts';
import { until } from './until.ts';

export type Mail = {
  /** Every mail to this address so far, newest first; waits until nothing is on its way. */
  to(address: string): Promise<MailboxMessage[]>;
  /** The token in the link of the newest mail to this address. @throws when there is no such mail */
  token(
    address: string,
    page: 'verify-email' | 'reset-password' | 'change-email' | 'revert-email' | 'keep-account' | 'report-sign-in',
  ): Promise<string>;
};

/** The development mailbox as a test reads it. What the outbox holds was committed with the answer, so nothing comes later. */
export function mailOf(mailbox: MailboxView, sql: Sql): Mail {
  async function to(address: string): Promise<MailboxMessage[]> {
    await until('all mail is sent', async () => {
      const [row] = await sql`select 1 from outbox where sent_at is null and failed_at is null limit 1`;
      return row === undefined;
    });
    return mailbox.list().filter((message) => message.to === address);
  }
  return {
    to,
    async token(address, page) {
      const messages = await to(address);
      const links = messages.flatMap((message) => message.links).filter((link) => new URL(link).pathname === `/${page}`);
      const token = links[0] === undefined ? undefined : new URLSearchParams(new URL(links[0]).hash.slice(1)).get('token');
      if (!token) throw new Error(`No mail to ${address} has a link to /${page}; subjects: ${messages.map(({ subject }) => subject)}`);
      return token;
    },
  };
}

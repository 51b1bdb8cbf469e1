import type { MailServer, Received } from '#tests/support/mail-server.ts';

/** What the mail server of a drill took, by recipient; each message is looked at once. */
export type Postbox = {
  /** The tokens in links to this page that came to this address, oldest first. */
  tokens(address: string, page: 'verify-email' | 'reset-password'): string[];
  /** Message-IDs by recipient, as often as each came. */
  received(): { to: string; id: string }[];
};

export function postbox({ received }: Pick<MailServer, 'received'>): Postbox {
  const byRecipient = new Map<string, Received[]>();
  let seen = 0;
  const sort = () => {
    for (; seen < received.length; seen++) {
      const mail = received[seen];
      if (!mail) break;
      const to = mail.envelope.to[0] ?? '';
      byRecipient.set(to, [...(byRecipient.get(to) ?? []), mail]);
    }
  };
  return {
    tokens(address, page) {
      sort();
      const texts = (byRecipient.get(address) ?? []).map(({ text }) => text ?? '');
      return texts.flatMap((text) => text.match(new RegExp(`/${page}#token=([\\w-]+)`))?.[1] ?? []);
    },
    received: () => received.map(({ envelope, messageId }) => ({ to: envelope.to[0] ?? '', id: idOf(messageId) })),
  };
}

/** The id of the row in the outbox: the left half of a Message-ID. */
function idOf(messageId: string | undefined): string {
  return messageId?.match(/^<([^@]+)@/)?.[1] ?? '';
}

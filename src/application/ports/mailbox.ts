/** A message that the development mailbox kept instead of sending it. */
export type MailboxMessage = {
  id: string;
  kind: 'email' | 'sms';
  to: string;
  subject: string;
  text: string;
  html: string;
  links: string[];
  createdAt: Date;
};

export interface MailboxView {
  /** Newest first. */
  list(): readonly MailboxMessage[];
}

import { z } from 'zod';
import type { MailboxMessage, MailboxView } from '#application/ports/mailbox.ts';
import { escapeHtml } from '#domain/mail-layout.ts';
import { page } from '../pages/page.ts';
import { type Route, route } from '../route.ts';

const Messages = z
  .object({
    messages: z.array(
      z.object({
        id: z.string(),
        kind: z.enum(['email', 'sms']),
        to: z.string(),
        subject: z.string(),
        text: z.string(),
        html: z.string(),
        links: z.array(z.string()),
        created_at: z.iso.datetime(),
      }),
    ),
  })
  .meta({ id: 'Messages' });

/** The development mailbox, as a page or, asked for JSON, as data. It exists only where mail is kept instead of sent. */
export function mailboxRoute(mailbox: MailboxView, productName: string): Route {
  return route({
    method: 'GET',
    path: '/dev/mailbox',
    tag: 'Development',
    summary: 'Mail and SMS that were kept instead of sent',
    description: 'A page for people; JSON with `Accept: application/json`. Newest first. Never in production.',
    access: 'public',
    neverBlocked: true,
    problems: [],
    responses: { 200: { description: 'The messages', schema: Messages } },
    async handler({ accept }) {
      const messages = mailbox.list();
      if (accept.includes('application/json')) return { status: 200, body: { messages: messages.map(messageView) } };
      return { status: 200, body: mailboxPage(messages, productName), headers: { 'content-type': 'text/html; charset=utf-8' } };
    },
  });
}

function messageView({ createdAt, ...message }: MailboxMessage) {
  return { ...message, created_at: createdAt.toISOString() };
}

function mailboxPage(messages: readonly MailboxMessage[], productName: string): string {
  const list = messages.map(
    ({ id, kind, to, subject, text, createdAt }) => `<article id="${escapeHtml(id)}">
<h2>${escapeHtml(subject)}</h2>
<p class="meta">${kind === 'email' ? 'E-mail' : 'SMS'} to <strong>${escapeHtml(to)}</strong>, <time>${createdAt.toISOString()}</time></p>
<pre>${linked(escapeHtml(text))}</pre>
</article>`,
  );
  const empty = '<p class="empty">No messages yet. Register an account, and its mail appears here.</p>';
  return page({
    title: 'Mailbox',
    productName,
    body: `<h1>Development mailbox</h1>
<p>Nothing leaves this machine: messages are kept in memory until the service stops. <a href="/dev/mailbox">Look again</a></p>
${list.length > 0 ? list.join('\n') : empty}`,
  });
}

/** Links of text that is escaped already. */
function linked(escaped: string): string {
  return escaped.replace(/https?:\/\/[^\s<]+/g, (url) => `<a href="${url}">${url}</a>`);
}

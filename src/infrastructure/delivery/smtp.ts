import { createTransport, type NodemailerError } from 'nodemailer';
import { NotTaken } from '#application/ports/errors.ts';
import type { Delivery } from '#application/ports/services.ts';
import { parseEmail } from '#domain/email.ts';
import type { Sender } from './sender.ts';

export type SmtpServer = {
  host: string;
  port: number;
  /** on: by STARTTLS, or from the first byte at port 465; implicit: from the first byte; off: in clear. */
  tls: 'on' | 'implicit' | 'off';
  /** Certificates (PEM) to trust instead of the public ones. */
  ca?: string | undefined;
  credentials?: { user: string; password: string } | undefined;
  maxConnections: number;
};

const CONNECT_MS = 10_000;
/** Without a word from the server. RFC 5321 4.5.3.2 would wait for ten minutes; an attempt ends before that. */
const SILENCE_MS = 80_000;
const IDLE_MS = 30_000;

/** Mail by SMTP (RFC 5321) over a pool of connections. */
export function smtpDelivery(server: SmtpServer, from: Sender): Delivery & { close(): void } {
  const transport = createTransport({
    ...wayTo(server),
    pool: true,
    maxConnections: server.maxConnections,
    // For a connection that the server had dropped meanwhile; all else is for the outbox, which waits and counts.
    maxRequeues: 1,
    connectionTimeout: CONNECT_MS,
    greetingTimeout: CONNECT_MS,
    dnsTimeout: CONNECT_MS,
    socketTimeout: SILENCE_MS,
    idleTimeout: IDLE_MS,
  });

  return {
    async send({ id, to, subject, text, html }, signal) {
      // Nodemailer reads an address as a list of them, so one is let through only as the whole of what it is.
      if (parseEmail(to)?.given !== to) throw new NotTaken('the recipient is not one address', { isPermanent: true, replyCode: null });
      try {
        const { response, serverMessageId } = await transport.sendMail({
          from: { name: from.name, address: from.address },
          to: { name: '', address: to },
          envelope: { from: from.address, to: [to] },
          // The same at every attempt, so that a server that has taken it already can tell.
          messageId: `<${id}@${from.address.slice(from.address.lastIndexOf('@') + 1)}>`,
          headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' }, // RFC 3834; Exchange
          subject,
          text,
          html,
          textEncoding: 'quoted-printable',
          signal,
        });
        return serverMessageId ?? response.slice(0, 200);
      } catch (error) {
        throw refusal(error) ?? error;
      }
    },
    close: () => transport.close(),
  };
}

/** What decides how a server is reached, and that nothing but a message is ever read or fetched for it. */
function wayTo({ host, port, tls, ca, credentials }: Omit<SmtpServer, 'maxConnections'>) {
  return {
    host,
    port,
    secure: tls === 'implicit' || (tls === 'on' && port === 465),
    requireTLS: tls !== 'off',
    ignoreTLS: tls === 'off',
    tls: { minVersion: 'TLSv1.2' as const, ...(ca === undefined ? {} : { ca }) },
    ...(credentials ? { auth: { user: credentials.user, pass: credentials.password } } : {}),
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

/** Connects as `send` would, signs in, and leaves: no mail is sent. @throws NotTaken when the server answers and refuses us; else what failed */
export async function greetSmtp(server: Omit<SmtpServer, 'maxConnections'>, withinMs: number): Promise<void> {
  const limits = { connectionTimeout: withinMs, greetingTimeout: withinMs, dnsTimeout: withinMs, socketTimeout: withinMs };
  const transport = createTransport({ ...wayTo(server), ...limits });
  try {
    await transport.verify();
  } catch (error) {
    const { code, responseCode } = error as NodemailerError;
    if (code !== 'EAUTH') throw error;
    throw new NotTaken('the user or password is refused', {
      isPermanent: false,
      replyCode: responseCode === undefined ? null : String(responseCode),
    });
  } finally {
    transport.close();
  }
}

/** What went wrong with this message, when a reply of the server says so. @returns null when it is the way there that failed */
function refusal(error: unknown): NotTaken | null {
  if (!(error instanceof Error)) return null;
  const { code, command, responseCode, response } = error as NodemailerError;
  if (responseCode === undefined) return null;
  const enhanced = /^\d{3}[ -]([245]\.\d{1,3}\.\d{1,3})\b/.exec(response ?? '')?.[1];
  const replyCode = enhanced === undefined ? String(responseCode) : `${responseCode} ${enhanced}`;
  // A password or sender that is refused is the operator's to mend: it says nothing about this recipient or content.
  const isAboutMessage = (code === 'EENVELOPE' || code === 'EMESSAGE') && (command === 'RCPT TO' || command === 'DATA');
  return new NotTaken(error.message, { isPermanent: isAboutMessage && responseCode >= 500, replyCode });
}

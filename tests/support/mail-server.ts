import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import PostalMime, { type Email } from 'postal-mime';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';

export type Received = Email & { raw: string; envelope: { from: string; to: string[] } };

/** What the server does with a message that it has read to its end; nothing: it takes it. */
type Verdict = undefined | { code: number; message: string } | 'hang' | 'close' | 'reset';

export type MailServer = {
  host: string;
  port: number;
  /** Whether the last session was encrypted, and who signed in. */
  sessions: { isSecure: boolean; user: string | false }[];
  received: Received[];
  /** Ends every connection, as servers do with idle ones. */
  drop(): void;
  stop(): Promise<void>;
};

export type MailServerOptions = SMTPServerOptions & { port?: number; judge?: (mail: Received) => Verdict | Promise<Verdict> };

/** A real SMTP server on this machine. A message stands in `received` before it is judged, as on a server that dies then. */
export async function mailServer({ port = 0, judge = () => undefined, ...options }: MailServerOptions = {}): Promise<MailServer> {
  const received: Received[] = [];
  const sessions: MailServer['sessions'] = [];
  const sockets = new Set<Socket>();
  const server = new SMTPServer({
    authOptional: true,
    disableReverseLookup: true,
    closeTimeout: 1,
    ...options,
    onData(stream, session, callback) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', async () => {
        const raw = Buffer.concat(chunks);
        const { mailFrom, rcptTo } = session.envelope;
        const envelope = { from: mailFrom ? mailFrom.address : '', to: rcptTo.map(({ address }) => address) };
        const mail = { ...(await PostalMime.parse(raw)), raw: raw.toString(), envelope };
        sessions.push({ isSecure: session.secure, user: (session.user as string | false | undefined) || false });
        received.push(mail);
        const verdict = await judge(mail);
        if (verdict === 'hang') return;
        if (verdict === 'close') for (const socket of sockets) socket.destroy();
        else if (verdict === 'reset') for (const socket of sockets) socket.resetAndDestroy();
        else if (verdict) callback(Object.assign(new Error(verdict.message), { responseCode: verdict.code }));
        else callback(null, 'taken');
      });
    },
  });
  server.on('error', () => {}); // a client that breaks off is what some tests are about
  server.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    host: 'localhost',
    port: (server.server.address() as AddressInfo).port,
    sessions,
    received,
    drop: () => {
      for (const socket of sockets) socket.destroy();
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** A certificate for localhost that nobody but who is given it trusts. */
export function selfSigned(): { key: string; cert: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-tls-'));
  const [key, cert] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')];
  try {
    const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-days', '2'];
    const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', cert];
    execFileSync('openssl', [...args, ...names], { stdio: 'ignore' });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

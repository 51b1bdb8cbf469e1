import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { NotTaken } from '#application/ports/errors.ts';
import { type SmtpServer, smtpDelivery } from '#infrastructure/delivery/smtp.ts';
import { type MailServer, type MailServerOptions, mailServer, selfSigned } from '#tests/support/mail-server.ts';

/** Against a real SMTP server (smtp-server), read by another parser than the one that wrote (postal-mime). */

const TLS = selfSigned();
const FROM = { name: 'Acme, "Sign-in" <x@y>', address: 'no-reply@acme.example' };
const NEVER = new AbortController().signal;
const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function server(options: MailServerOptions = {}): Promise<MailServer> {
  const started = await mailServer({ ...TLS, ...options });
  open.push(started.stop);
  return started;
}

function delivery({ host, port }: { host: string; port: number }, more: Partial<SmtpServer> = {}) {
  const smtp = smtpDelivery({ host, port, tls: 'on', ca: TLS.cert, maxConnections: 4, ...more }, FROM);
  open.push(smtp.close);
  return smtp;
}

const message = (more: object = {}) => ({
  id: randomUUID(),
  kind: 'email' as const,
  to: 'Ada@example.com',
  subject: 'Confirm – ✓',
  text: 'Open\nhttps://app.example.com/verify-email#token=a=b_c\n.\nEnd',
  html: '<a href="https://app.example.com/verify-email#token=a=b_c">öpen</a>',
  ...more,
});

async function refusal(sending: Promise<unknown>): Promise<NotTaken> {
  const error = await sending.then(
    () => new Error('it was taken'),
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(NotTaken);
  return error;
}

describe('mail by SMTP', () => {
  it('arrives as it was written, as text and HTML, from us, to one recipient, and answers to nobody', async () => {
    const { received, ...where } = await server();
    const sent = message();
    expect(await delivery(where).send(sent, NEVER)).toContain('taken');
    const [mail] = received;
    expect(mail?.envelope).toEqual({ from: FROM.address, to: [sent.to] });
    expect(mail?.from).toMatchObject({ name: FROM.name, address: FROM.address });
    expect(mail?.to).toMatchObject([{ address: sent.to }]);
    expect(mail).toMatchObject({ subject: sent.subject, messageId: `<${sent.id}@acme.example>` });
    expect(mail?.text?.trim()).toBe(sent.text);
    expect(mail?.html?.trim()).toBe(sent.html);
    expect(mail?.raw).toMatch(/^Content-Type: multipart\/alternative/m);
    expect(mail?.raw).toMatch(/^Auto-Submitted: auto-generated\r$/m);
    expect(mail?.attachments).toEqual([]);
  });

  it('bears the same Message-ID at every attempt', async () => {
    const { received, ...where } = await server();
    const [smtp, sent] = [delivery(where), message()];
    for (let time = 0; time < 2; time++) await smtp.send(sent, NEVER);
    expect(received[0]?.messageId).toBe(received[1]?.messageId);
  });

  it('[V1.3.11] cannot be given another header, recipient or file by what is written in it', async () => {
    const { received, ...where } = await server();
    const smtp = delivery(where);
    const evil = {
      subject: 'Hi\r\nBcc: eve@evil.example\r\n\r\nowned',
      text: '{"path":"/etc/passwd"}',
      html: '<img src="file:///etc/passwd">',
    };
    await smtp.send(message(evil), NEVER);
    for (const to of [
      'a@example.com, eve@evil.example',
      'a@example.com\r\nBcc: eve@evil.example',
      'a@example.com> NOTIFY=NEVER <eve@evil.example',
    ]) {
      expect(await refusal(smtp.send(message({ to }), NEVER))).toMatchObject({ isPermanent: true });
    }
    expect(received).toHaveLength(1);
    for (const mail of received) {
      expect(mail.headers.filter(({ key }) => key === 'bcc' || key === 'cc')).toEqual([]);
      expect(mail.envelope.to).toHaveLength(1);
      expect(mail.envelope.to).not.toContain('eve@evil.example');
      expect(mail.raw).not.toContain('root:');
    }
  });

  it('uses its connections again', async () => {
    let connections = 0;
    const { received, ...where } = await server({ onConnect: (_session, done) => done(void connections++ as undefined) });
    const smtp = delivery(where);
    for (let i = 0; i < 10; i++) await smtp.send(message(), NEVER);
    expect([received.length, connections]).toEqual([10, 1]);
  });

  it('is not held up by a connection that the server has dropped meanwhile', async () => {
    const { received, drop, ...where } = await server();
    const smtp = delivery(where);
    for (let i = 0; i < 5; i++) {
      await smtp.send(message(), NEVER);
      drop();
    }
    expect(received).toHaveLength(5);
  });
});

describe('the way to the server', () => {
  it('[V12.3.1] is encrypted by STARTTLS before anything is said', async () => {
    const { sessions, ...where } = await server();
    await delivery(where).send(message(), NEVER);
    expect(sessions).toEqual([{ isSecure: true, user: false }]);
  });

  it('[V12.3.1] is encrypted from the first byte where that is how the server speaks', async () => {
    const { sessions, ...where } = await server({ secure: true });
    await delivery(where, { tls: 'implicit' }).send(message(), NEVER);
    expect(sessions).toEqual([{ isSecure: true, user: false }]);
  });

  it('[V12.3.1] is not taken when the server offers no TLS: nothing is sent in clear', async () => {
    const { received, ...where } = await server({ hideSTARTTLS: true, disabledCommands: ['STARTTLS'] });
    await expect(delivery(where).send(message(), NEVER)).rejects.toThrow();
    expect(received).toEqual([]);
  });

  it('[V12.3.2] is not taken when nobody we trust vouches for the server, or for another name', async () => {
    const { received, ...where } = await server();
    await expect(delivery(where, { ca: undefined }).send(message(), NEVER)).rejects.toThrow(/certificate/);
    await expect(delivery({ ...where, host: '127.0.0.2' }).send(message(), NEVER)).rejects.toThrow();
    expect(received).toEqual([]);
  });

  it('is in clear only where it is switched off, and then even if the server offers TLS', async () => {
    const { sessions, ...where } = await server();
    await delivery(where, { tls: 'off' }).send(message(), NEVER);
    expect(sessions).toMatchObject([{ isSecure: false }]);
  });

  it('is opened with a name and a password, when there are some', async () => {
    const { sessions, ...where } = await server({
      authOptional: false,
      onAuth: ({ username, password }, _session, done) =>
        username === 'acme' && password === 'right' ? done(null, { user: username }) : done(new Error('no')),
    });
    await delivery(where, { credentials: { user: 'acme', password: 'right' } }).send(message(), NEVER);
    expect(sessions).toEqual([{ isSecure: true, user: 'acme' }]);
    const error = await refusal(delivery(where, { credentials: { user: 'acme', password: 'wrong' } }).send(message(), NEVER));
    expect(error).toMatchObject({ isPermanent: false, replyCode: '535' }); // ours to mend: the mail waits
    expect(error.message).not.toContain('wrong');
  });
});

describe('a mail that is not taken', () => {
  it.each([
    [550, '5.1.1 nobody of that name', true, '550 5.1.1'],
    [552, 'mailbox full', true, '552'],
    [450, '4.2.0 greylisted, try later', false, '450 4.2.0'],
    [421, '4.7.0 too many', false, '421 4.7.0'],
  ])('for its recipient (%i %s): refused for good is %s', async (responseCode, said, isPermanent, replyCode) => {
    const where = await server({
      onRcptTo: (_address, _session, done) => done(Object.assign(new Error(said), { responseCode })),
    });
    expect(await refusal(delivery(where).send(message(), NEVER))).toMatchObject({ isPermanent, replyCode });
  });

  it.each([
    [554, '5.7.1 looks like spam', true],
    [451, '4.3.0 try later', false],
  ])('for what it says (%i %s): refused for good is %s', async (code, said, isPermanent) => {
    const where = await server({ judge: () => ({ code, message: said }) });
    expect(await refusal(delivery(where).send(message(), NEVER))).toMatchObject({ isPermanent });
  });

  it('for its sender waits: that is ours to mend', async () => {
    const where = await server({ onMailFrom: (_address, _session, done) => done(Object.assign(new Error('who?'), { responseCode: 550 })) });
    expect(await refusal(delivery(where).send(message(), NEVER))).toMatchObject({ isPermanent: false, replyCode: '550' });
  });

  it('does not stand in the way of the next one', async () => {
    const { received, ...where } = await server({
      onRcptTo: ({ address }, _session, done) =>
        done(address.startsWith('nobody') ? Object.assign(new Error('5.1.1 no'), { responseCode: 550 }) : null),
    });
    const smtp = delivery(where, { maxConnections: 1 });
    const outcomes = await Promise.allSettled(
      ['nobody@a.example', 'ada@a.example', 'nobody@a.example', 'bob@a.example'].map((to) => smtp.send(message({ to }), NEVER)),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected', 'fulfilled']);
    expect(received.map(({ envelope }) => envelope.to[0])).toEqual(['ada@a.example', 'bob@a.example']);
  });
});

describe('a server in trouble', () => {
  it('that is not there is no answer about the mail', async () => {
    const { port, stop } = await mailServer(TLS);
    await stop();
    const error = await delivery({ host: 'localhost', port })
      .send(message(), NEVER)
      .catch((reason) => reason);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(NotTaken);
  });

  it.each(['close', 'reset'] as const)(
    'that breaks the connection (%s) after the mail is not given it again by the pool: the outbox decides that',
    async (how) => {
      const { received, ...where } = await server({ judge: () => how });
      const error = await delivery(where)
        .send(message(), NEVER)
        .catch((reason) => reason);
      expect(error).not.toBeInstanceOf(NotTaken);
      expect(received).toHaveLength(1);
    },
  );

  it('that never answers is left when the attempt is over, and its connection is closed', async () => {
    const { received, ...where } = await server({ judge: () => 'hang' });
    const attempt = new AbortController();
    const sending = delivery(where).send(message(), attempt.signal);
    const outcome = expect(sending).rejects.toThrow('aborted');
    while (received.length === 0) await new Promise(setImmediate);
    attempt.abort(new Error('over'));
    await outcome;
  });

  it('that says nothing at all holds nobody up for longer than the attempt', async () => {
    const closed = Promise.withResolvers<void>();
    const silent = createServer((socket) => {
      socket.on('error', () => {}).on('close', () => closed.resolve());
      socket.resume();
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    open.push(() => silent.close());
    const { port } = silent.address() as { port: number };
    await expect(delivery({ host: '127.0.0.1', port }).send(message(), AbortSignal.timeout(200))).rejects.toThrow();
    await closed.promise;
  });
});

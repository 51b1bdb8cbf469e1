import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { NotTaken } from '#application/ports/errors.ts';
import { sendgridDelivery } from '#infrastructure/delivery/sendgrid.ts';
import { registeredPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

type Call = { method: string | undefined; url: string | undefined; key: string | undefined; body: Record<string, unknown> };

const calls: Call[] = [];
let answer: (response: ServerResponse) => void;
const stub = createServer(async (request: IncomingMessage, response) => {
  let text = '';
  for await (const chunk of request) text += chunk;
  const { method, url, headers } = request;
  calls.push({ method, url, key: headers.authorization, body: JSON.parse(text) });
  answer(response);
});
let url: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => stub.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(stub.address() as AddressInfo).port}`;
});
afterAll(() => {
  stub.closeAllConnections();
  stub.close();
});
beforeEach(() => {
  calls.length = 0;
  answer = (response) => response.writeHead(202, { 'x-message-id': 'sg-1' }).end();
});

const MAIL = { id: 'id-1', kind: 'email' as const, to: 'ada@example.com', subject: 'Hello', text: 'plain', html: '<p>rich</p>' };
const NEVER = new AbortController().signal;
const send = (signal = NEVER) =>
  sendgridDelivery({ apiKey: 'SG.secret', url }, { name: 'Acme', address: 'no-reply@acme.example' }).send(MAIL, signal);
const failure = () =>
  send().then(
    () => null,
    (error: unknown) => error,
  );

describe('mail by SendGrid', () => {
  it('is handed over as text and HTML, and its id is kept', async () => {
    expect(await send()).toBe('sg-1');
    expect(calls).toMatchObject([{ method: 'POST', url: '/v3/mail/send', key: 'Bearer SG.secret' }]);
    expect(calls[0]?.body).toMatchObject({
      personalizations: [{ to: [{ email: 'ada@example.com' }] }],
      from: { email: 'no-reply@acme.example', name: 'Acme' },
      subject: 'Hello',
      content: [
        { type: 'text/plain', value: 'plain' },
        { type: 'text/html', value: '<p>rich</p>' },
      ],
      custom_args: { latchkey_message_id: 'id-1' },
    });
  });

  it('[V14.2.3] is not tracked: no link is rewritten, no pixel is added', async () => {
    await send();
    expect(calls[0]?.body['tracking_settings']).toEqual({
      click_tracking: { enable: false, enable_text: false },
      open_tracking: { enable: false },
      subscription_tracking: { enable: false },
      ganalytics: { enable: false },
    });
  });

  it.each([
    [400, true],
    [413, true],
    [401, false],
    [403, false],
    [404, false],
    [429, false],
    [500, false],
    [503, false],
  ])('that is answered with %i is refused for good: %s', async (status, isPermanent) => {
    answer = (response) => response.writeHead(status).end('{"errors":[{"message":"because of this","field":null}]}');
    const error = await failure();
    expect(error).toBeInstanceOf(NotTaken);
    expect(error).toMatchObject({ isPermanent, replyCode: String(status), message: `SendGrid answered ${status}: because of this` });
  });

  it('waits as long as it is asked to, in seconds, as a date or as a Unix time', async () => {
    const inTwoMinutes = Date.now() + 120_000;
    for (const headers of [
      { 'retry-after': '120' },
      { 'retry-after': new Date(inTwoMinutes).toUTCString() },
      { 'x-ratelimit-reset': String(Math.ceil(inTwoMinutes / 1000)) },
    ]) {
      answer = (response) => response.writeHead(429, headers).end();
      const { retryAfterSeconds } = (await failure()) as NotTaken;
      expect(retryAfterSeconds).toBeGreaterThan(110);
      expect(retryAfterSeconds).toBeLessThanOrEqual(121);
    }
    for (const headers of [{}, { 'retry-after': 'soon' }, { 'retry-after': '-5' }]) {
      answer = (response) => response.writeHead(429, headers).end();
      expect(await failure()).toMatchObject({ retryAfterSeconds: 0 });
    }
  });

  it('follows no redirect: the key goes to nobody else', async () => {
    answer = (response) => response.writeHead(307, { location: `${url}/elsewhere` }).end();
    expect(await failure()).not.toBeInstanceOf(NotTaken);
    expect(calls).toHaveLength(1);
  });

  it('is broken off when the attempt is over', async () => {
    const attempt = new AbortController();
    answer = () => attempt.abort(new Error('over'));
    await expect(send(attempt.signal)).rejects.toThrow('over');
  });

  it('leaves the service with its link whole, and its id stands in the outbox', async () => {
    const settings = {
      EMAIL_PROVIDER: 'sendgrid',
      SENDGRID_API_KEY: 'SG.secret',
      SENDGRID_URL: url,
      EMAILS_FROM_EMAIL: 'no-reply@acme.example',
    };
    const service = await startService({ settings });
    try {
      const { email } = await registeredPerson(service);
      await service.mail.to(email);
      const said = JSON.stringify(calls[0]?.body);
      expect(said).toContain(`"to":[{"email":"${email}"}]`);
      expect(said).toMatch(/https:\/\/app\.example\.com\/verify-email#token=[\w-]{43}/);
      expect(await service.sql`select provider_id, sealed from outbox`).toEqual([{ provider_id: 'sg-1', sealed: null }]);
    } finally {
      await service.stop();
    }
  });

  it('keeps the key out of what went wrong', async () => {
    answer = (response) => response.destroy();
    expect(String(((await failure()) as Error).stack)).not.toContain('SG.secret');
  });
});

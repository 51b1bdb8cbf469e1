import { Writable } from 'node:stream';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { NotTaken } from '#application/ports/errors.ts';
import { type SnsSettings, snsDelivery } from '#infrastructure/delivery/sns.ts';
import { signedInPerson } from '#tests/support/people.ts';
import { enrolPhone, PHONE, PHONE_E164 } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { fakeSns, invalidNumber, type Sns, snsError } from '#tests/support/sns.ts';
import { until } from '#tests/support/until.ts';

const KEYS = { accessKeyId: 'AKIDOFTHETESTS', secretAccessKey: 'a secret of the tests' };
let sns: Sns;
beforeAll(async () => {
  sns = await fakeSns(KEYS);
  vi.stubEnv('AWS_ACCESS_KEY_ID', KEYS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', KEYS.secretAccessKey);
});
afterEach(() => {
  sns.answers(null);
  sns.published.length = 0;
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await sns.stop();
});

const NUMBER = '+4915123456789';
const SMS = { id: 'id-1', kind: 'sms' as const, to: NUMBER, subject: '', text: '271828 is your code for Acme.', html: '' };
const NEVER = new AbortController().signal;
const delivery = (settings: Partial<SnsSettings> = {}) =>
  snsDelivery({
    region: 'eu-central-1',
    endpoint: sns.endpoint,
    senderId: undefined,
    originationNumber: undefined,
    maxPriceUsd: 0.5,
    ...settings,
  });
const send = (settings: Partial<SnsSettings> = {}, signal = NEVER) => delivery(settings).send(SMS, signal);
const failure = (settings: Partial<SnsSettings> = {}) =>
  send(settings).then(
    () => null,
    (error: unknown) => error,
  );

describe('SMS by SNS', () => {
  it('is published to the number, signed, as transactional, with a price that it may not pass', async () => {
    expect(await send()).toBe('sns-1');
    expect(sns.published).toEqual([
      {
        phoneNumber: NUMBER,
        message: SMS.text,
        attributes: {
          'AWS.SNS.SMS.SMSType': { type: 'String', value: 'Transactional' },
          'AWS.SNS.SMS.MaxPrice': { type: 'Number', value: '0.50000' },
        },
      },
    ]);
  });

  it('names its sender, by id or by a rented number', async () => {
    await send({ senderId: 'ACME', originationNumber: '+12065550100', maxPriceUsd: 0.00581 });
    expect(sns.published[0]?.attributes).toMatchObject({
      'AWS.SNS.SMS.SenderID': { type: 'String', value: 'ACME' },
      'AWS.MM.SMS.OriginationNumber': { type: 'String', value: '+12065550100' },
      'AWS.SNS.SMS.MaxPrice': { type: 'Number', value: '0.00581' },
    });
  });

  it('is refused when it is signed with another secret: that is ours to mend, so it waits', async () => {
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'another secret');
    const refused = await failure();
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', KEYS.secretAccessKey);
    expect(refused).toBeInstanceOf(NotTaken);
    expect(refused).toMatchObject({ isPermanent: false, replyCode: '403 SignatureDoesNotMatch' });
    expect(sns.published).toEqual([]);
  });

  it.each([
    ['a number that is none', invalidNumber(NUMBER), true, '400 InvalidParameterException'],
    ['a number that has opted out', snsError(400, 'OptedOut', 'The number opted out'), true, '400 OptedOutException'],
    ['a sender that is none', snsError(400, 'InvalidParameter', 'Invalid parameter: SenderID'), false, '400 InvalidParameterException'],
    [
      'missing rights',
      snsError(403, 'AuthorizationError', 'not authorized to perform: SNS:Publish'),
      false,
      '403 AuthorizationErrorException',
    ],
    ['too many at once', snsError(400, 'Throttling', 'Rate exceeded'), false, '400 Throttling'],
    ['too many at once, said otherwise', snsError(429, 'Throttled', 'Rate exceeded'), false, '429 ThrottledException'],
    ['a fault of theirs', snsError(500, 'InternalError', 'oh'), false, '500 InternalErrorException'],
    ['an outage', snsError(503, 'ServiceUnavailable', 'oh'), false, '503 ServiceUnavailable'],
  ])('%s: refused for good is %3$s', async (_, answer, isPermanent, replyCode) => {
    sns.answers(answer);
    const before = sns.calls();
    const error = await failure();
    expect(error).toBeInstanceOf(NotTaken);
    expect(error).toMatchObject({ isPermanent, replyCode });
    expect(sns.calls() - before, 'repeats are for the outbox').toBe(1);
    expect(String((error as Error).message)).not.toMatch(/\d{4}/);
  });

  it('asks for patience when it is throttled', async () => {
    sns.answers(snsError(400, 'Throttling', 'Rate exceeded'));
    expect(((await failure()) as NotTaken).retryAfterSeconds).toBeGreaterThan(0);
  });

  it('is broken off when the attempt is over, and when nobody answers nothing is said of the number', async () => {
    const attempt = new AbortController();
    sns.answers(() => attempt.abort(new Error('over')));
    await expect(send({}, attempt.signal)).rejects.toThrow(/abort|over/i);
    sns.answers((response) => response.destroy());
    const error = await failure();
    expect(error).not.toBeInstanceOf(NotTaken);
    expect(String((error as Error).stack)).not.toContain(NUMBER.slice(1));
  });
});

describe('the service with SMS_PROVIDER=sns', () => {
  it('sends the code that lets its owner in; in an outage it waits, says so, and comes through; the log holds neither code nor number', async () => {
    let log = '';
    const lines = new Writable({
      write(chunk, _, done) {
        log += chunk;
        done();
      },
    });
    const settings = { SMS_PROVIDER: 'sns', AWS_REGION: 'eu-central-1', AWS_ENDPOINT_URL: sns.endpoint, SMS_SENDER_ID: 'ACME' };
    const service = await startService({ settings, log: pino({ level: 'debug' }, lines) });
    const api = service.api();
    const state = async () => (await api.get('/health/ready')).body.dependencies['sms'];
    try {
      const person = await signedInPerson(service);
      sns.answers(snsError(503, 'ServiceUnavailable', `cannot reach ${PHONE_E164}`));
      const sent = await api.post('/api/sms-mfa/setup', { phone_number: PHONE }, person.accessToken);
      expect(sent.status).toBe(202);
      await until('the outage shows', async () => (await state()) === 'degraded');
      expect((await api.get('/health/ready')).status).toBe(200);

      sns.answers(null);
      service.clock.advance(2);
      await until('it is taken', () => sns.published.length === 1);
      const [{ phoneNumber, message, attributes } = { phoneNumber: '', message: '', attributes: {} }] = sns.published;
      expect({ phoneNumber, sender: attributes['AWS.SNS.SMS.SenderID']?.value }).toEqual({ phoneNumber: PHONE_E164, sender: 'ACME' });
      const code = message.match(/^\d{6}/)?.[0] ?? '';
      expect((await api.post('/api/sms-mfa/verify', { code }, person.accessToken)).status).toBe(200);
      await until('it shows that it works again', async () => (await state()) === 'up');
      const [row] = await service.sql`select provider_id, attempts, sealed, last_error from outbox where kind = 'sms'`;
      expect(row).toEqual({ provider_id: 'sns-1', attempts: 2, sealed: null, last_error: null });
      expect(log).toContain('sms is not taken; it waits in the outbox');
      expect(log).not.toContain(code);
      expect(log).not.toContain(PHONE_E164.slice(1));
    } finally {
      await service.stop();
    }
  });

  it('buries at once what is refused for good: the number gets no second try', async () => {
    const service = await startService({ settings: { SMS_PROVIDER: 'sns', AWS_ENDPOINT_URL: sns.endpoint } });
    try {
      const person = await signedInPerson(service);
      sns.answers(invalidNumber(PHONE_E164));
      await expect(enrolPhone(service, person)).rejects.toThrow('No SMS'); // it waits until the outbox is empty
      const [row] = await service.sql`select attempts, failure, reply_code, last_error from outbox where kind = 'sms'`;
      expect(row).toMatchObject({ attempts: 1, failure: 'bounced', reply_code: '400 InvalidParameterException' });
      expect(row?.['last_error']).not.toContain(PHONE_E164.slice(1));
    } finally {
      await service.stop();
    }
  });
});

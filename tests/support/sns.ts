import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AwsKeys, wrongSignature } from './sigv4.ts';

export type Published = { phoneNumber: string; message: string; attributes: Record<string, { type: string; value: string }> };

export type Sns = {
  endpoint: string;
  /** What was taken, in order. */
  published: Published[];
  /** Publish requests so far, whatever became of them. */
  calls(): number;
  /** From now on each request is answered so instead of being taken; null: taken again. */
  answers(how: ((response: ServerResponse) => void) | null): void;
  stop(): Promise<void>;
};

/** What a code by SMS needs of SNS, over its real protocol (Query API 2010-03-31): only what is signed is looked at. */
export async function fakeSns(keys: AwsKeys): Promise<Sns> {
  const published: Published[] = [];
  let calls = 0;
  let answer: ((response: ServerResponse) => void) | null = null;
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    calls++;
    const wrong = wrongSignature(request, body, keys, 'sns');
    if (wrong) return snsError(403, 'SignatureDoesNotMatch', wrong)(response);
    if (answer) return answer(response);
    const form = new URLSearchParams(body.toString('utf8'));
    if (request.method !== 'POST' || form.get('Action') !== 'Publish' || form.get('Version') !== '2010-03-31')
      return snsError(400, 'InvalidAction', 'The action is not known')(response);
    const phoneNumber = form.get('PhoneNumber') ?? '';
    if (!/^\+[1-9]\d{6,14}$/.test(phoneNumber)) return invalidNumber(phoneNumber)(response);
    published.push({ phoneNumber, message: form.get('Message') ?? '', attributes: attributesOf(form) });
    response
      .writeHead(200, { 'content-type': 'text/xml' })
      .end(
        `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>sns-${published.length}</MessageId></PublishResult><ResponseMetadata><RequestId>r-${calls}</RequestId></ResponseMetadata></PublishResponse>`,
      );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    published,
    calls: () => calls,
    answers(how) {
      answer = how;
    },
    stop() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** An answer as SNS refuses. */
export function snsError(status: number, code: string, message: string): (response: ServerResponse) => void {
  return (response) =>
    response
      .writeHead(status, { 'content-type': 'text/xml' })
      .end(
        `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error><RequestId>r</RequestId></ErrorResponse>`,
      );
}

export function invalidNumber(phoneNumber: string): (response: ServerResponse) => void {
  return snsError(400, 'InvalidParameter', `Invalid parameter: PhoneNumber Reason: ${phoneNumber} is not valid to publish to`);
}

function attributesOf(form: URLSearchParams): Published['attributes'] {
  const attributes: Published['attributes'] = {};
  for (let n = 1; form.has(`MessageAttributes.entry.${n}.Name`); n++) {
    const of = (part: string) => form.get(`MessageAttributes.entry.${n}.${part}`) ?? '';
    attributes[of('Name')] = { type: of('Value.DataType'), value: of('Value.StringValue') };
  }
  return attributes;
}

import { PublishCommand, SNSClient, SNSServiceException } from '@aws-sdk/client-sns';
import { NotTaken } from '#application/ports/errors.ts';
import type { Delivery } from '#application/ports/services.ts';

export type SnsSettings = {
  region: string;
  /** Another address than that of AWS. */
  endpoint: string | undefined;
  /** Who it comes from, in countries that show one. */
  senderId: string | undefined;
  /** A number that AWS rents to us (E.164), for countries that want one. */
  originationNumber: string | undefined;
  /** Past it AWS does not send. */
  maxPriceUsd: number;
};

const CONNECT_MS = 5000;
const LONGEST_MS = 20_000;
const THROTTLED = new Set(['Throttled', 'ThrottledException', 'Throttling', 'ThrottlingException', 'RequestLimitExceeded']);
/** The outbox waits longer by itself the oftener it is told so. */
const THROTTLED_SECONDS = 2;
const LONGEST_REASON = 300;

/**
 * SMS by Amazon SNS (`Publish` to a phone number). One attempt a call: repeats are for the outbox, which waits and counts.
 * Credentials come as AWS gives them: variables, profile, or the role of the machine.
 */
export function snsDelivery({ region, endpoint, senderId, originationNumber, maxPriceUsd }: SnsSettings): Delivery & { close(): void } {
  const client = new SNSClient({
    region,
    maxAttempts: 1,
    requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: LONGEST_MS, throwOnRequestTimeout: true },
    ...(endpoint === undefined ? {} : { endpoint }),
  });
  const MessageAttributes = Object.fromEntries(
    [
      ['AWS.SNS.SMS.SMSType', 'String', 'Transactional'],
      ['AWS.SNS.SMS.MaxPrice', 'Number', maxPriceUsd.toFixed(5)],
      ...(senderId === undefined ? [] : [['AWS.SNS.SMS.SenderID', 'String', senderId]]),
      ...(originationNumber === undefined ? [] : [['AWS.MM.SMS.OriginationNumber', 'String', originationNumber]]),
    ].map(([name, DataType, StringValue]) => [name, { DataType, StringValue }]),
  );

  return {
    async send({ to, text }, signal) {
      try {
        const { MessageId } = await client.send(new PublishCommand({ PhoneNumber: to, Message: text, MessageAttributes }), {
          abortSignal: AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)]),
        });
        return MessageId ?? null;
      } catch (error) {
        throw error instanceof SNSServiceException ? refusal(error) : error;
      }
    },
    close: () => client.destroy(),
  };
}

/** Why AWS did not take it. Its words may hold the number, and those of a stranger's endpoint anything: no row of digits is kept. */
function refusal({ name, message, $metadata }: SNSServiceException): NotTaken {
  const status = $metadata.httpStatusCode ?? 0;
  const isThrottled = status === 429 || THROTTLED.has(name);
  // Other parameters that are invalid are our settings: for the operator to mend, and nothing about this number.
  const isInvalidNumber = status === 400 && name.startsWith('InvalidParameter') && /phone ?number/i.test(message);
  const reason = message.replace(/\+?\d{4,}/g, '…').slice(0, LONGEST_REASON);
  return new NotTaken(`SNS answered ${status} ${name}: ${reason}`, {
    isPermanent: isInvalidNumber || /^OptedOut(Exception)?$/.test(name),
    replyCode: `${status} ${name}`,
    ...(isThrottled ? { retryAfterSeconds: THROTTLED_SECONDS } : {}),
  });
}

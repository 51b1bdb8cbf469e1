import type { Logger } from 'pino';
import { NotTaken } from '#application/ports/errors.ts';
import type { Delivery, Dependency } from '#application/ports/services.ts';
import { PLACES } from '#infrastructure/delivery/dispatcher.ts';
import { watched } from '#infrastructure/delivery/watched.ts';
import type { Config } from './config.ts';

export type Post = { delivery: Delivery; dependencies: Dependency[]; close(): void };

type Closable = Delivery & { close?(): void };

/** Where mail and SMS go, and how each provider did with its last message. */
export async function openPost(config: Config, letters: Delivery, log: Logger): Promise<Post> {
  const mail = await openMail(config, letters);
  const sms = await openSms(config, letters);
  const watch = (name: string, delivery: Delivery) =>
    watched(name, delivery, (error) => {
      // A provider's reply may name the recipient: its words stay in the outbox.
      const reason = error instanceof NotTaken ? error.replyCode : String(error);
      if (error) log.warn({ reason }, `${name} is not taken; it waits in the outbox`);
      else log.info(`${name} is taken again`);
    });
  const ways = { email: watch('mail', mail), sms: watch('sms', sms) };
  return {
    delivery: { send: (message, signal) => ways[message.kind].delivery.send(message, signal) },
    dependencies: [
      ...(config.EMAIL_PROVIDER === 'mailbox' ? [] : [ways.email.dependency]),
      ...(config.SMS_PROVIDER === 'mailbox' ? [] : [ways.sms.dependency]),
    ],
    close() {
      mail.close?.();
      sms.close?.();
    },
  };
}

/** A provider is loaded only where it is used: an idle service stays small. */
async function openMail(config: Config, letters: Delivery): Promise<Closable> {
  const from = { name: config.EMAILS_FROM_NAME ?? config.PRODUCT_NAME, address: config.EMAILS_FROM_EMAIL ?? '' };
  if (config.EMAIL_PROVIDER === 'smtp') {
    const { smtpDelivery } = await import('#infrastructure/delivery/smtp.ts');
    const { SMTP_HOST: host = '', SMTP_PORT: port, SMTP_TLS: tls, SMTP_CA: ca, SMTP_USER: user, SMTP_PASSWORD: password } = config;
    const credentials = user !== undefined && password ? { user, password: password.reveal() } : undefined;
    return smtpDelivery({ host, port, tls, ca, credentials, maxConnections: PLACES.email }, from);
  }
  if (config.EMAIL_PROVIDER === 'sendgrid') {
    const { sendgridDelivery } = await import('#infrastructure/delivery/sendgrid.ts');
    return sendgridDelivery({ apiKey: config.SENDGRID_API_KEY?.reveal() ?? '', url: config.SENDGRID_URL }, from);
  }
  return letters;
}

async function openSms(config: Config, letters: Delivery): Promise<Closable> {
  if (config.SMS_PROVIDER === 'mailbox') return letters;
  const { snsDelivery } = await import('#infrastructure/delivery/sns.ts');
  return snsDelivery({
    region: config.AWS_REGION,
    endpoint: config.AWS_ENDPOINT_URL,
    senderId: config.SMS_SENDER_ID,
    originationNumber: config.SMS_ORIGINATION_NUMBER,
    maxPriceUsd: config.SMS_MAX_PRICE,
  });
}

import { z } from 'zod';
import { isColor } from '#domain/color.ts';
import { parseEmail } from '#domain/email.ts';
import { certificates, oneLine, origin, text, url, wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

export const MAIL_SETTINGS = {
  EMAIL_PROVIDER: {
    describe: 'smtp, sendgrid, or mailbox: mail is kept in memory and shown at /dev/mailbox (development only)',
    schema: z.enum(['mailbox', 'smtp', 'sendgrid']),
    default: 'mailbox',
  },
  SMTP_HOST: { describe: 'the mail server (EMAIL_PROVIDER=smtp)', schema: text.max(253) },
  SMTP_PORT: { describe: '587 for STARTTLS, 465 for TLS from the first byte', schema: wholeNumber(1, 65535), default: '587' },
  SMTP_TLS: {
    describe:
      'on: nothing is sent without TLS; implicit: TLS from the first byte (on at port 465); off: in clear, for a relay on this machine',
    schema: z.string().transform((value, context): 'on' | 'implicit' | 'off' => {
      const meant = { on: 'on', true: 'on', implicit: 'implicit', off: 'off', false: 'off' } as const; // the replaced services wrote True and False
      const known = Object.entries(meant).find(([word]) => word === value.toLowerCase());
      if (known) return known[1];
      context.addIssue('give on, implicit or off');
      return z.NEVER;
    }),
    default: 'on',
  },
  SMTP_CA: {
    describe: 'certificates (PEM) to trust instead of the public ones; SMTP_CA_FILE names their file',
    schema: certificates,
  },
  SMTP_USER: { describe: 'the name to sign in to the mail server with', schema: text },
  SMTP_PASSWORD: { describe: 'and its password', schema: text, secret: true },
  SENDGRID_API_KEY: { describe: 'a key that may send mail (EMAIL_PROVIDER=sendgrid)', schema: text, secret: true },
  SENDGRID_URL: {
    describe: 'https://api.eu.sendgrid.com for an account in the EU',
    schema: origin,
    default: 'https://api.sendgrid.com',
  },
  EMAILS_FROM_EMAIL: {
    describe: 'the address that mail comes from',
    schema: z
      .string()
      .refine((value) => parseEmail(value) !== undefined, 'give an e-mail address')
      .transform((value) => parseEmail(value)?.given ?? value),
  },
  EMAILS_FROM_NAME: { describe: 'the name beside it (default: PRODUCT_NAME)', schema: oneLine.max(60) },
  EMAILS_COLOR: {
    describe: 'of the button in mails, as #rrggbb; its text is white or black, whichever can be read',
    schema: z.string().refine(isColor, 'give a colour as #rrggbb'),
    default: '#1f4fd8',
  },
  EMAILS_SUPPORT_URL: {
    describe: 'where mails send people for help: an https: or mailto: URL (default: they name nothing)',
    schema: oneLine.max(500).pipe(url('https:', 'mailto:')),
  },
} as const satisfies Record<string, Setting>;

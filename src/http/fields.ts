import { z } from 'zod';
import { parseEmail } from '#domain/email.ts';
import { USERNAME } from '#domain/username.ts';

/** The fields that request bodies share. Text with U+0000 or half a surrogate pair was refused before (json-body.ts). */

export const email = z
  .string()
  .max(254)
  .refine((text) => parseEmail(text) !== undefined, 'It is not an e-mail address.')
  .meta({ format: 'email', examples: ['ada@example.com'] });

export const username = z.string().max(32).regex(USERNAME, 'Use 3 to 32 letters, digits and single . _ - between them.');

/**
 * One line of text for people: no control characters, so that no mail header or log line can be broken (ASVS 1.3.3), and none that
 * turns the direction of what stands behind it (UTS 55). Joiners and direction marks stay: emoji, Arabic, Hebrew, Persian need them.
 */
export const oneLine = (longest: number) =>
  z
    .string()
    .min(1)
    .max(longest)
    .regex(/^[^\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+$/u, 'It must be one line of text, without control characters.');

/**
 * Something to be seen: letters of Hangul that fill, and the empty cell of Braille, show nothing. Half a surrogate pair is left to
 * those who refuse it by its name.
 */
const VISIBLE = /(?![\p{Default_Ignorable_Code_Point}\u2800])[\p{L}\p{N}\p{P}\p{S}\p{Cs}]/u;

export const displayName = oneLine(100).regex(VISIBLE, 'It must have a character that can be seen.');

const YEAR_10000_MS = Date.UTC(10_000, 0);

/** An instant that Node and PostgreSQL write alike. */
export const time = z.iso
  .datetime({ offset: true })
  .max(40)
  .refine((text) => Date.parse(text) >= 0 && Date.parse(text) < YEAR_10000_MS, 'Give a time between 1970 and 9999.');

export const transport = z
  .enum(['bearer', 'cookie'])
  .default('bearer')
  .describe('bearer: tokens in the answer; cookie: a session cookie, for browsers');

export const deviceName = displayName.describe('shown in the list of sessions');

/** A password as it comes: the policy is asked later, a longer one costs nothing to refuse. */
export const password = z.string().min(1).max(1024).meta({ format: 'password' });

/** Whatever may be taken for a token of ours, a JWT of somebody else too: another length is just another token that we never made. */
const LONGEST_TOKEN = 8192;

/** The token of a link: 256 bits in base64url. */
export const linkToken = z.string().min(1).max(LONGEST_TOKEN);

export const refreshToken = z.string().min(1).max(LONGEST_TOKEN);

export const honeypot = z.string().max(2048).describe('Leave it out: a hidden form field that only programs fill in.');

export const preAuthToken = z
  .string()
  .min(1)
  .max(LONGEST_TOKEN)
  .describe('from the answer of the sign-in; opaque, five minutes, five tries');

export const code = z.string().min(1).max(64).describe('as shown or received');

/** What `navigator.credentials` gave, as `toJSON()` writes it; every part of it is verified by WebAuthn's own rules. */
export const credential = z
  .looseObject({ id: z.string().max(2048), type: z.string().max(64), response: z.looseObject({ clientDataJSON: z.string().max(8192) }) })
  .describe('PublicKeyCredential as JSON (WebAuthn Level 3)');

export const role = z.enum(['user', 'moderator', 'staff', 'admin']);

/** An id in a path, whichever case it is written in (RFC 9562 4). */
export const idInPath = z.uuid().toLowerCase();

/** What somebody who administers makes of an account. */
export const administeredStatus = z.enum(['active', 'suspended']);

/** `deleted`: by its owner, until it is erased. */
export const accountStatus = z.enum([...administeredStatus.options, 'deleted']);

/** A number of a query, in decimal digits only: Number() would take 1e2, 0x10 and spaces as well. */
export const digits = (text: unknown) => (typeof text === 'string' && /^\d+$/.test(text) ? Number(text) : text);

/** What lists take: how many, and where the page before ended. */
export const pageFields = {
  limit: z.preprocess(digits, z.int().min(1).max(100).default(50)).describe('how many at most'),
  cursor: z.string().max(256).optional().describe('`next_cursor` of the page before'),
};

export const passkeyName = displayName.describe('how its owner calls it');

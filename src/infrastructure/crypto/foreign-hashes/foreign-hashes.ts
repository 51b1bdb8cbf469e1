import { argon2 } from './argon2.ts';
import { bcrypt } from './bcrypt.ts';
import type { Check, Form } from './form.ts';
import { aspNetIdentity, djangoPbkdf2, passlibPbkdf2 } from './pbkdf2.ts';
import { djangoScrypt, passlibScrypt } from './scrypt.ts';

const FORMS: Form[] = [argon2, bcrypt, djangoPbkdf2, passlibPbkdf2, djangoScrypt, passlibScrypt, aspNetIdentity];

/**
 * A password hash that another system made (or we, with other parameters), by what it looks like.
 * @returns how to check a password against it, or why it is refused: of no known form, damaged, or a denial of service to check
 */
export function foreignHash(text: string): Check | { refused: string } {
  for (const form of FORMS) {
    const read = form(text);
    if (read !== null) return read;
  }
  return { refused: 'The password hash has no form that is known here: Argon2, bcrypt, scrypt or PBKDF2 as docs/import.md lists them.' };
}

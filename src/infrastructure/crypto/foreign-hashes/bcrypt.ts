import { createHmac, hash } from 'node:crypto';
import { type Check, type Form, tooCostly } from './form.ts';

const MODULAR = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
const PASSLIB = /^\$bcrypt-sha256\$(?:(2[ab]),(\d{1,2})|v=2,t=2b,r=(\d{1,2}))\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})$/;
/** 2^15 rounds: about two seconds of a core. */
const MOST_COST = 15;

/**
 * bcrypt as such (`$2a$`, `$2b$`, `$2y$`, Django's `bcrypt$`), and the forms that hash first: Django's `bcrypt_sha256$` and passlib's
 * `$bcrypt-sha256$`. As such it knows the first 72 bytes of a password, as in the system that it comes from; once the owner has signed
 * in here, the whole password counts.
 */
export const bcrypt: Form = (text) => {
  if (text.startsWith('$bcrypt-sha256$')) return passlib(text);
  if (text.startsWith('bcrypt_sha256$')) return modular(text.slice('bcrypt_sha256$'.length), (password) => hash('sha256', password, 'hex'));
  if (text.startsWith('bcrypt$')) return modular(text.slice('bcrypt$'.length), (password) => password);
  return text.startsWith('$2') ? modular(text, (password) => password) : null;
};

function modular(text: string, prepare: (password: string) => string): Check | { refused: string } {
  const cost = MODULAR.exec(text)?.[1];
  if (cost === undefined || Number(cost) < 4) return { refused: 'The password hash looks like bcrypt, but is not complete.' };
  if (Number(cost) > MOST_COST) return tooCostly(`bcrypt of cost ${Number(cost)}`, String(MOST_COST));
  return async (password) => {
    const { verify } = await import('@node-rs/bcrypt');
    return await verify(prepare(password), text);
  };
}

/** Version 1 hashes with SHA-256, version 2 with HMAC-SHA-256 under the salt's text; both hand base 64 on to bcrypt. */
function passlib(text: string): Check | { refused: string } {
  const [, variant, cost1, cost2, salt = '', tag = ''] = PASSLIB.exec(text) ?? [];
  const cost = (cost1 ?? cost2 ?? '').padStart(2, '0');
  const digest = (password: string) =>
    variant === undefined ? createHmac('sha256', salt).update(password).digest('base64') : hash('sha256', password, 'base64');
  return modular(`$${variant ?? '2b'}$${cost}$${salt}${tag}`, digest);
}

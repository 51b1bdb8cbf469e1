import { verify } from '@node-rs/argon2';
import { base64, type Form, oddParts, tooCostly } from './form.ts';

const PHC = /^\$argon2(?:id|i|d)\$(v=(?:16|19)\$)?m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,4})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;
const MOST_MEMORY_KIB = 256 * 1024;
/** Memory times passes: about two seconds of a core. */
const MOST_WORK_KIB = 1024 * 1024;
const MOST_LANES = 64;

/** The PHC string, as argon2-cffi, pwdlib and passlib write it (RFC 9106), and Django's `argon2$` before it. */
export const argon2: Form = (text) => {
  const phc = text.startsWith('argon2$') ? text.slice('argon2'.length) : text;
  if (!phc.startsWith('$argon2')) return null;
  const [, version, memory = '', passes = '', lanes = '', salt = '', tag = ''] = PHC.exec(phc) ?? [];
  const odd = oddParts(base64(salt), base64(tag));
  if (odd) return odd;
  const [memoryKib, timeCost, parallelism] = [Number(memory), Number(passes), Number(lanes)];
  if (memoryKib > MOST_MEMORY_KIB || memoryKib * timeCost > MOST_WORK_KIB || parallelism > MOST_LANES) {
    return tooCostly(`Argon2 m=${memory},t=${passes},p=${lanes}`, `m=${MOST_MEMORY_KIB}, m times t=${MOST_WORK_KIB}, p=${MOST_LANES}`);
  }
  if (timeCost < 1 || parallelism < 1 || memoryKib < 8 * parallelism)
    return { refused: 'The password hash has no valid Argon2 parameters.' };
  const named = version === undefined ? phc.replace('$m=', '$v=16$m=') : phc; // what the first version did not write yet
  return (password) => verify(named, password);
};

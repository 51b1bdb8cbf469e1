import { createCipheriv, scrypt as derive, type ScryptOptions } from 'node:crypto';
import { base64, type Check, type Form, isSame, oddParts, tooCostly } from './form.ts';

const DJANGO = /^scrypt\$(\d{1,9})\$([^$]+)\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/=]+)$/;
const PASSLIB = /^\$(scrypt|firebase-scrypt)\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;
/** 128 N r bytes. */
const MOST_MEMORY_BYTES = 128 * 1024 * 1024;
/** Memory times p: about a second of a core. */
const MOST_WORK_BYTES = 512 * 1024 * 1024;
const FIREBASE_KEY_BYTES = 32;

/** scrypt (RFC 7914) as Django writes it, with the salt as text. */
export const djangoScrypt: Form = (text) => {
  if (!text.startsWith('scrypt$')) return null;
  const [, cost = '', salt = '', blockSize = '', parallelization = '', tag = ''] = DJANGO.exec(text) ?? [];
  const parameters = { cost: Number(cost), blockSize: Number(blockSize), parallelization: Number(parallelization) };
  return checkScrypt(parameters, Buffer.from(salt), base64(tag), plain);
};

/** As passlib writes it; and Firebase's, as `firebaseHash` writes it. */
export const passlibScrypt: Form = (text) => {
  if (!text.startsWith('$scrypt$') && !text.startsWith('$firebase-scrypt$')) return null;
  const [, name, logCost = '', blockSize = '', parallelization = '', salt = '', tag = ''] = PASSLIB.exec(text) ?? [];
  const parameters = { cost: 2 ** Number(logCost), blockSize: Number(blockSize), parallelization: Number(parallelization) };
  return checkScrypt(parameters, base64(salt), base64(tag), name === 'firebase-scrypt' ? firebaseKeystream : plain);
};

/** What Firebase shows of a project under "password hash parameters". */
export type FirebaseParameters = { signerKey: Buffer; saltSeparator: Buffer; rounds: number; memCost: number };

/**
 * Firebase encrypts the project's signer key with what scrypt makes of the password: AES-256-CTR from a zero counter. Taking the signer
 * key off again leaves the key stream, by which a password can be checked: no project secret goes into the database.
 * @returns null when the hash is not as long as the signer key
 */
export function firebaseHash({ signerKey, saltSeparator, rounds, memCost }: FirebaseParameters, salt: Buffer, hash: Buffer): string | null {
  if (hash.length !== signerKey.length) return null;
  const keystream = Buffer.from(hash.map((byte, i) => byte ^ (signerKey[i] ?? 0)));
  const text = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');
  return `$firebase-scrypt$ln=${memCost},r=${rounds},p=1$${text(Buffer.concat([salt, saltSeparator]))}$${text(keystream)}`;
}

type Finish = { keyBytes: (tagBytes: number) => number; tagOf: (key: Buffer, tagBytes: number) => Buffer };

const plain: Finish = { keyBytes: (tagBytes) => tagBytes, tagOf: (key) => key };

const firebaseKeystream: Finish = {
  keyBytes: () => FIREBASE_KEY_BYTES,
  tagOf: (key, tagBytes) => createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(tagBytes)),
};

type Parameters = { cost: number; blockSize: number; parallelization: number };

function checkScrypt(parameters: Parameters, salt: Buffer | null, tag: Buffer | null, finish: Finish): Check | { refused: string } {
  const { cost, blockSize, parallelization } = parameters;
  const memoryBytes = 128 * cost * blockSize;
  if (cost < 2 || !Number.isInteger(Math.log2(cost)) || blockSize < 1 || parallelization < 1) {
    return { refused: 'The password hash looks like scrypt, but is not.' };
  }
  const odd = oddParts(salt, tag);
  if (odd || salt === null || tag === null) return odd ?? { refused: '' };
  if (memoryBytes > MOST_MEMORY_BYTES || memoryBytes * parallelization > MOST_WORK_BYTES) {
    return tooCostly(`scrypt N=${cost},r=${blockSize},p=${parallelization}`, `${MOST_MEMORY_BYTES} bytes of memory, four times over`);
  }
  const options = { ...parameters, maxmem: 2 * memoryBytes + 1024 * 1024 };
  return async (password) => {
    const key = await scrypt(password, salt, finish.keyBytes(tag.length), options);
    return isSame(finish.tagOf(key, tag.length), tag);
  };
}

function scrypt(password: string, salt: Buffer, bytes: number, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    derive(password, salt, bytes, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

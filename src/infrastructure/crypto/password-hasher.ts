import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { hash as argon2Hash, verify as argon2Verify, type Options } from '@node-rs/argon2';
import type { PasswordHasher } from '#application/ports/services.ts';
import { normalizePassword } from '#domain/password-policy.ts';
import { type Gate, gate } from '../gate.ts';
import { foreignHash } from './foreign-hashes/foreign-hashes.ts';

export type Argon2Parameters = { memoryKib: number; timeCost: number; parallelism: number };

const ARGON2ID = 2;
const TAG_BYTES = 32; // RFC 9106 3.1; the library's salt is 16 random bytes
/** At 9 ms a hash the last in the queue waits about half a second. */
const QUEUE_PER_CORE = 64;
/** bcrypt of cost 12 takes a quarter of a second: sign-ins that wait for such hashes, and those behind them, wait five seconds at most. */
const SLOW_QUEUE_PER_CORE = 20;

/**
 * Argon2id behind a gate of as many at once as there are cores: more would only fight for the same memory bus, and other
 * routes stay fast while sign-ins saturate the machine (docs/architecture.md). Hashes of other systems are checked behind the same
 * gate; a right password makes them outdated, so that the sign-in replaces them.
 */
export async function argon2Hasher(parameters: Argon2Parameters): Promise<PasswordHasher & { load: Gate['load'] }> {
  const cores = availableParallelism();
  const { run, load } = gate(cores, QUEUE_PER_CORE * cores, 'password hashing');
  const options: Options = {
    algorithm: ARGON2ID,
    memoryCost: parameters.memoryKib,
    timeCost: parameters.timeCost,
    parallelism: parameters.parallelism,
    outputLen: TAG_BYTES,
  };
  const today = `$argon2id$v=19$m=${parameters.memoryKib},t=${parameters.timeCost},p=${parameters.parallelism}$`;
  const decoy = await argon2Hash(randomBytes(32), options);

  return {
    hash: (password) => run(() => argon2Hash(normalizePassword(password), options)),
    async verify(hash, password) {
      const check = hash === null || hash.startsWith(today) ? null : foreignHash(hash);
      if (typeof check === 'function') {
        const perCore = hash?.startsWith('$argon2') ? QUEUE_PER_CORE : SLOW_QUEUE_PER_CORE;
        return (await run(() => isAny(check, spellings(password)), perCore * cores)) ? 'outdated' : 'wrong';
      }
      // No hash, or one that nobody can check: as much work as for one of ours.
      const isRight = await run(() => argon2Verify(check === null ? (hash ?? decoy) : decoy, normalizePassword(password)));
      return hash !== null && check === null && isRight ? 'right' : 'wrong';
    },
    load,
  };
}

/** Other systems hash a password as it came: the form that we normalise to, and the one that was typed where it differs. */
function spellings(password: string): string[] {
  return [...new Set([normalizePassword(password), password])];
}

async function isAny(check: (password: string) => Promise<boolean>, passwords: string[]): Promise<boolean> {
  for (const password of passwords) if (await check(password)) return true;
  return false;
}

/** The least memory by passes that ASVS 5.0 appendix C allows (11.4.2). @returns what is too weak, null when nothing is */
export function argon2Weakness({ memoryKib, timeCost }: Pick<Argon2Parameters, 'memoryKib' | 'timeCost'>): string | null {
  const least = timeCost >= 3 ? 12288 : timeCost === 2 ? 19456 : 47104;
  return memoryKib >= least ? null : `Argon2id with t=${timeCost} needs at least m=${least} KiB (ASVS 11.4.2); it has ${memoryKib}`;
}

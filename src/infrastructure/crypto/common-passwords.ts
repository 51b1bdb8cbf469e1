import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { CommonPasswords } from '#application/ports/services.ts';

/** The common passwords of at least 8 characters, lower-cased (ASVS 6.2.4); where they come from: common-passwords.md. */
export function loadCommonPasswords(): CommonPasswords {
  const words = readFileSync(path.join(import.meta.dirname, 'common-passwords.txt'), 'utf8').split('\n');
  return new Set(words.filter((word) => word !== ''));
}

import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { CommonPasswords } from '#application/ports/services.ts';

/**
 * The common passwords, lower-cased (ASVS 6.2.4); where they come from: common-passwords.md. Those of fewer than 8 characters
 * are there for what people add to them: `Summer2024`.
 */
export function loadCommonPasswords(): CommonPasswords {
  const lists = ['common-passwords.txt', 'common-passwords-short.txt'];
  const words = lists.flatMap((list) => readFileSync(path.join(import.meta.dirname, list), 'utf8').split('\n'));
  return new Set(words.filter((word) => word !== ''));
}

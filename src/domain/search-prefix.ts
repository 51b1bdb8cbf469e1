import { parseEmail } from './email.ts';

/** What was typed to find people, in the form in which addresses and names are kept: a whole address may have a domain in another script. */
export function searchPrefix(typed: string): string {
  return parseEmail(typed)?.canonical ?? typed.toLowerCase();
}

/** What a new password must meet. Lengths count Unicode code points (NIST SP 800-63B-4 3.1.1.2). */
export type PasswordPolicy = {
  minLength: number;
  requireUppercase: boolean;
  requireNumbers: boolean;
  requireSpecialChars: boolean;
};

/** Beyond this a password is refused, never cut (ASVS 6.2.9 asks for at least 64). */
export const MAX_PASSWORD_LENGTH = 256;

const MIN_CONTEXT_WORD = 4;
const LONGEST_REPEATED_UNIT = 4;
const MOST_DECORATIONS = 4;

/** The one change made to a password before it is hashed (63B 3.1.1.2: NFC): no trimming, no case, no cutting (ASVS 6.2.8). */
export function normalizePassword(password: string): string {
  return password.normalize('NFC');
}

/**
 * Why a password may not be chosen; empty when it may. Each sentence is for the user.
 * @param isCommon whether a password or word, lower-cased, is on the list of common ones (ASVS 6.2.4)
 * @param context words an attacker would try first: the product, the e-mail address, the names (ASVS 6.2.11)
 */
export function passwordFaults(
  password: string,
  policy: PasswordPolicy,
  isCommon: (lowerCased: string) => boolean,
  context: readonly string[],
): string[] {
  const normal = normalizePassword(password);
  const length = [...normal].length;
  const faults: string[] = [];
  if (length < policy.minLength) faults.push(`It must have at least ${policy.minLength} characters.`);
  if (length > MAX_PASSWORD_LENGTH) return [`It must have at most ${MAX_PASSWORD_LENGTH} characters.`];
  if (policy.requireUppercase && !/\p{Lu}/u.test(normal)) faults.push('It must have an upper-case letter.');
  if (policy.requireNumbers && !/\p{N}/u.test(normal)) faults.push('It must have a digit.');
  if (policy.requireSpecialChars && !/[^\p{L}\p{N}]/u.test(normal)) faults.push('It must have a special character.');
  const lowerCased = normal.toLowerCase();
  // As typed too: small letters may be other ones at the end of a word (Σ), or more of them (İ).
  if (isRepeat(normal) || isRepeat(lowerCased) || isRun(lowerCased) || isDecorated(lowerCased, isCommon))
    faults.push('It is one of the passwords that attackers try first.');
  else if (isDerivedFrom(lowerCased, context)) faults.push('It is too close to your name, your address or this service.');
  return faults;
}

const LETTER = /[\p{L}\p{M}]/u;
const ZERO = 0x30;
const NINE = 0x39;
const LEET: Record<string, string> = { '0': 'o', '1': 'l', '3': 'e', '4': 'a', '5': 's', '7': 't', '@': 'a', $: 's', '!': 'i' };

/**
 * Whether the whole password repeats a short unit: `00000000`, `123123123`, `abcabcab`. Lists leave these out, their programs find
 * them by rule, and so do attackers (ASVS 6.2.4, 63B 3.1.1.2).
 */
function isRepeat(password: string): boolean {
  const letters = [...password];
  const most = Math.min(LONGEST_REPEATED_UNIT, Math.floor(letters.length / 2));
  return Array.from({ length: most }, (_, index) => index + 1).some((unit) =>
    letters.every((letter, at) => at < unit || letter === letters[at - unit]),
  );
}

/** Whether the whole password counts up or down: `abcdefgh`, `87654321`, `1234567890` (ASVS 6.2.4, 63B 3.1.1.2). */
function isRun(lowerCased: string): boolean {
  const points = [...lowerCased].map((letter) => letter.codePointAt(0) ?? 0);
  const isNext = (from: number, to: number) => to === from + 1 || (from === NINE && to === ZERO);
  const pairs = points.slice(1).map((point, index) => [points[index] ?? 0, point] as const);
  return pairs.every(([from, to]) => isNext(from, to)) || pairs.every(([from, to]) => isNext(to, from));
}

/**
 * Whether the password is a common one, or a common word, with a few digits or signs around it and in plain letters or in leet:
 * `Welcome1!`, `P@ssw0rd1` (ASVS 6.2.4). Only at the ends and only few: eight random digits are worth something behind any word,
 * and a phrase may hold common words (63B 3.1.1.2).
 */
function isDecorated(lowerCased: string, isCommon: (lowerCased: string) => boolean): boolean {
  const letters = [...lowerCased];
  const before = Math.min(MOST_DECORATIONS, decorations(letters));
  const behind = Math.min(MOST_DECORATIONS, decorations(letters.toReversed()));
  for (let start = 0; start <= before; start++) {
    for (let cut = 0; cut <= Math.min(behind, MOST_DECORATIONS - start); cut++) {
      if (readings(letters.slice(start, letters.length - cut)).some(isCommon)) return true;
    }
  }
  return false;
}

/** How many digits and signs there are before the first letter. */
function decorations(letters: string[]): number {
  const first = letters.findIndex((letter) => LETTER.test(letter));
  return first === -1 ? letters.length : first;
}

/** What the letters may stand for. Leet is mostly letters: `73571234` is a number, not `test` and a number. */
function readings(letters: string[]): string[] {
  const asIs = letters.join('');
  if (letters.filter((letter) => LETTER.test(letter)).length * 2 < letters.length) return [asIs];
  const plain = (one: string) => letters.map((letter) => (letter === '1' ? one : (LEET[letter] ?? letter))).join('');
  return [asIs, plain('l'), plain('i')];
}

/**
 * Whether the whole password is a context word, repeated or padded with digits and signs, in plain letters or in leet.
 * The whole password, never a substring: a long passphrase may hold its owner's name (63B 3.1.1.2).
 */
function isDerivedFrom(lowerCased: string, context: readonly string[]): boolean {
  const plain = (text: string) => [...text].map((letter) => LEET[letter] ?? letter).join('');
  const unsigned = lowerCased.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, '');
  const forms = [lowerCased, plain(unsigned), plain(unsigned.replace(/\d+$/, ''))].map(unrepeated);
  const words = [...contextWords(context)].flatMap((word) => [word, plain(word)]);
  return words.some((word) => forms.some((form) => form.includes(word) && !/\p{L}/u.test(form.replace(word, ''))));
}

function contextWords(context: readonly string[]): Set<string> {
  const words = new Set<string>();
  for (const text of context) {
    const lower = text.toLowerCase();
    for (const word of [lower, ...lower.split(/[^\p{L}\p{N}]+/u)]) {
      if ([...word].length >= MIN_CONTEXT_WORD) words.add(word);
    }
  }
  return words;
}

function unrepeated(text: string): string {
  const unit = /^(.+?)\1+$/u.exec(text)?.[1];
  return unit !== undefined && unit.length >= MIN_CONTEXT_WORD ? unit : text;
}

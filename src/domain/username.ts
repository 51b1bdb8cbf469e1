/** A user name as its owner wrote it (shown) and in the one form that is unique and looked up. */
export type Username = { given: string; canonical: string };

/** 3 to 32 of letters, digits and single `.`, `_`, `-` between them. ASCII, so that no look-alike passes; never an `@`. */
export const USERNAME = /^(?=.{3,32}$)[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$/;

export function parseUsername(input: string): Username | undefined {
  return USERNAME.test(input) ? { given: input, canonical: input.toLowerCase() } : undefined;
}

/** A number in E.164, as `+4915123456789`. */
export type PhoneNumber = string;

/** What a signed-in user sees of the number: enough to know it. */
export function maskPhone(number: PhoneNumber): string {
  return `${number.slice(0, 3)}${'*'.repeat(Math.max(0, number.length - 5))}${number.slice(-2)}`;
}

/** The range that bill fraud buys numbers in: all but the last four digits, and the country with the operator. */
export function phonePrefix(number: PhoneNumber): string {
  return number.slice(0, 7);
}

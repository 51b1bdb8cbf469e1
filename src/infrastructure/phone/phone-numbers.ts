import type { CountryCode } from 'libphonenumber-js';
import type { PhoneNumbers } from '#application/ports/services.ts';

/**
 * Numbers by libphonenumber, loaded at first use. Its metadata of mobile numbers alone: a fixed line or a premium number is none.
 * @param defaultCountry whose national numbers are understood (ISO 3166-1); undefined: only international ones
 * @param countries whose numbers get codes; empty: all
 */
export function phoneNumbers({ defaultCountry, countries }: { defaultCountry: string | undefined; countries: string[] }): PhoneNumbers {
  return {
    async parse(typed) {
      if (/\p{Cc}/u.test(typed)) return null;
      const { default: parsePhoneNumber } = await import('libphonenumber-js/mobile');
      const found = parsePhoneNumber(typed, defaultCountry === undefined ? {} : { defaultCountry: defaultCountry as CountryCode });
      if (!found?.isValid() || found.ext !== undefined) return null;
      const isServed = countries.length === 0 || (found.country !== undefined && countries.includes(found.country));
      return isServed ? found.number : null;
    },
  };
}

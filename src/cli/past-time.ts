import { z } from 'zod';

/** When something happened, in a file of users. Whether it lies in the past is asked apart, of the moment that the import began. */
export const pastTime = z.iso.datetime({ offset: true, message: 'Give a time with its offset, as 2024-05-17T10:00:00Z.' });

export const NOT_PAST = 'It is not a time between 1970 and now.';

export function isPast(at: Date, now: Date): boolean {
  return at <= now && at.getTime() >= 0;
}

import type { z } from 'zod';

/**
 * What is said of a setting: its meaning (for .env.example), its default, its form. Times come in the unit of the name.
 * `production` says what production asks of it. Defaults that SECURITY_PROFILE=strict makes harder stand in `strict`.
 */
export type Setting = {
  describe: string;
  schema: z.ZodType;
  /** As text, the way a file would give it; none: it may stay away. */
  default?: string;
  strict?: string;
  /** Never printed. */
  secret?: true;
  production?: 'required';
};

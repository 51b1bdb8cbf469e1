import type { z } from 'zod';
import type { GivenFactor } from '#application/prove-second-factor.ts';
import { code, credential } from './fields.ts';
import { Method } from './views.ts';

/** How a second factor is given in a body: `method` with `code`, or with `credential` for webauthn. */
export const GivenFactorFields = { method: Method, code: code.optional(), credential: credential.optional() };

type Given = { method?: z.output<typeof Method> | undefined; code?: string | undefined; credential?: unknown };

export const hasWhatItsMethodNeeds: [(body: Given) => boolean, { message: string; path: string[] }] = [
  ({ method, code, credential }) =>
    method === 'webauthn' ? code === undefined && credential !== undefined : code !== undefined && credential === undefined,
  { message: 'Give code, or credential for the method webauthn.', path: ['method'] },
];

/** @param body one that `hasWhatItsMethodNeeds` */
export function givenFactor({ method, code, credential }: Given): GivenFactor {
  if (method === undefined) throw new TypeError('a body without a method is refused by its schema');
  return method === 'webauthn' ? { method, credential } : { method, code: code ?? '' };
}

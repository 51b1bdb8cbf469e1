import { expect, it } from 'vitest';
import { searchPrefix } from '#domain/search-prefix.ts';

it.each([
  ['Ada@Bücher.example', 'ada@xn--bcher-kva.example'],
  ['ADA@EXAMPLE.COM', 'ada@example.com'],
  ['Ada.Lovel', 'ada.lovel'],
  ['ada@', 'ada@'],
  ['ada@b', 'ada@b'],
])('%s finds what begins with %s', (typed, prefix) => {
  expect(searchPrefix(typed)).toBe(prefix);
});

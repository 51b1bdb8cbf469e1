import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readCell, writtenCell } from '#cli/csv-cells.ts';

const unquoted = (cell: string) => (cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell);
const strings = fc.string({ unit: fc.constantFrom('=', '+', "'", '"', ';', ',', '\t', '\r', '\n', ' ', '\uff1d', 'a'), maxLength: 12 });

describe('a cell of CSV', () => {
  it('is read as what was written, whatever it is', () => {
    fc.assert(
      fc.property(strings, (text) => {
        expect(readCell(unquoted(writtenCell(text)))).toBe(text);
      }),
      { numRuns: 20_000 },
    );
  });

  it('[V1.2.10] is a formula nowhere, wherever a country has its cells begin', () => {
    fc.assert(
      fc.property(strings, (text) => {
        expect(writtenCell(text).slice(1)).not.toMatch(/[;\t]"*[=+\-@\uff1d]/);
        expect(writtenCell(text)).not.toMatch(/^"*[=+\-@\uff1d]/);
      }),
      { numRuns: 20_000 },
    );
  });
});

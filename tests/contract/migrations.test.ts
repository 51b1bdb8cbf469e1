import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

/**
 * While a release rolls out, the version before serves on the new schema (docs/deploy.md): a migration adds, and what it takes away
 * goes a release later, in one that says so. tests/faults/rolling-update.test.ts tries the newest one for real.
 */
const BREAKING: Record<string, RegExp> = {
  'drops a table': /\bdrop\s+table\s+(?!%I)/i,
  'drops a column': /\bdrop\s+column\b/i,
  'renames something': /\brename\s+(to|column|constraint)\b/i,
  'forbids null where it was allowed': /\balter\s+column\s+\S+\s+set\s+not\s+null\b/i,
  'changes the type of a column': /\balter\s+column\s+\S+\s+(set\s+data\s+)?type\b/i,
  'adds a column that the version before does not fill': /\badd\s+column\s+(?![^;]*\bdefault\b)[^;]*\bnot\s+null\b/i,
};
/** What takes something away says in its first line which release had stopped to use it, as `-- contract: unused since 1.4.0`. */
const SAYS_WHY = /^-- contract: unused since \d+\.\d+\.\d+/;

const faultsOf = (sql: string) => (SAYS_WHY.test(sql) ? [] : Object.keys(BREAKING).filter((fault) => BREAKING[fault]?.test(sql)));

describe('a migration', () => {
  it.each(readdirSync('drizzle').filter((file) => file.endsWith('.sql')))('leaves the version before what it uses: %s', (file) => {
    expect(faultsOf(readFileSync(path.join('drizzle', file), 'utf8'))).toEqual([]);
  });

  it('that does not is found', () => {
    const breaking = [
      'DROP TABLE "phones";',
      'ALTER TABLE "phones" DROP COLUMN "number";',
      'ALTER TABLE "phones" RENAME COLUMN "number" TO "e164";',
      'ALTER TABLE "phones" RENAME TO "telephones";',
      'ALTER TABLE "phones" ALTER COLUMN "number" SET NOT NULL;',
      'ALTER TABLE "phones" ALTER COLUMN "number" SET DATA TYPE bigint;',
      'ALTER TABLE "phones" ADD COLUMN "country" text NOT NULL;',
    ];
    for (const sql of breaking) expect(faultsOf(sql), sql).toHaveLength(1);
    expect(faultsOf('ALTER TABLE "phones" ADD COLUMN "country" text DEFAULT \'DE\' NOT NULL;')).toEqual([]);
    expect(faultsOf('-- contract: unused since 1.4.0\nDROP TABLE "phones";')).toEqual([]);
  });
});

import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { startEmbeddedPostgres } from '#infrastructure/embedded/embedded-postgres.ts';
import { connect } from '#infrastructure/postgres/connect.ts';
import { until } from '#tests/support/until.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** One that was killed and cannot start again. */
async function broken(firstPauseMs: number) {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-test-'));
  folders.push(folder);
  const said: { atMs: number; line: string }[] = [];
  const postgres = await startEmbeddedPostgres(folder, (line) => void said.push({ atMs: performance.now(), line }), { firstPauseMs });
  const sql = connect({ ...postgres.address, database: 'postgres' }, { max: 1 });
  const [row] = await sql<{ folder: string }[]>`select setting as folder from pg_settings where name = 'data_directory'`;
  await sql.end();
  const data = row?.folder ?? '';
  appendFileSync(path.join(data, 'postgresql.conf'), '\nno_such_setting = 1\n');
  process.kill(Number(readFileSync(path.join(data, 'postmaster.pid'), 'utf8').split('\n')[0]), 'SIGKILL');
  const saying = (words: string) => said.filter(({ line }) => line.includes(words));
  return { stop: postgres.stop, tries: () => saying('it is started again'), failures: () => saying('does not start'), saying };
}

it('a PostgreSQL that does not come back is tried ten times, each time after a longer pause, and given up with a word', async () => {
  const { stop, tries, failures, saying } = await broken(4);
  const [last] = await until('it is given up', () => saying('is not started any more').length > 0 && saying('is not started any more'), 30);
  expect(last?.line).toContain('10 times in a row');
  expect([tries().length, failures().length]).toEqual([10, 10]);
  const pauses = tries().map(({ atMs }, i) => atMs - (failures()[i - 1]?.atMs ?? atMs));
  for (let i = 1; i < 10; i++) expect(pauses[i]).toBeGreaterThan(4 * 2 ** (i - 1) - 2); // timers are that exact
  await stop();
}, 60_000);

it('nobody waits for such a pause at the end', async () => {
  const { stop, tries, failures, saying } = await broken(3_600_000);
  await until('it was tried once', () => failures().length === 1);
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  await stop();
  expect(timers()).toBeLessThan(before);
  expect(tries()).toHaveLength(1);
  expect(saying('is not started any more')).toEqual([]);
}, 60_000);

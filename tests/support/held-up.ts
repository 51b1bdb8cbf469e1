import type { TransactionSql } from 'postgres';
import type { Answer } from './api.ts';
import type { TestService } from './service.ts';
import { until } from './until.ts';

/**
 * Sends requests, holds each of them up where it takes the account's row, and lets all of them go on at once.
 * @param meanwhile is done before they go on
 */
export async function heldUp(
  { sql }: TestService,
  accountId: string,
  send: (() => Promise<Answer>)[],
  meanwhile: (tx: TransactionSql) => Promise<unknown> = async () => {},
): Promise<Answer[]> {
  let answers: Promise<Answer[]> = Promise.resolve([]);
  await sql.begin(async (tx) => {
    await tx`select from accounts where id = ${accountId} for update`;
    answers = Promise.all(send.map((request) => request()));
    await until('all requests wait', async () => {
      const waiting = await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      return waiting.length >= send.length;
    });
    await meanwhile(tx);
  });
  return await answers;
}

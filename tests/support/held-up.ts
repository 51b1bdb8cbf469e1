import type { TransactionSql } from 'postgres';
import type { Answer } from './api.ts';
import type { TestService } from './service.ts';
import { until } from './until.ts';

/** One to each request, and so as many. */
type AnswersTo<Sends> = { -readonly [Each in keyof Sends]: Answer };

/**
 * Sends requests, holds each of them up where it takes the account's row, and lets all of them go on at once.
 * @param meanwhile is done before they go on
 */
export async function heldUp<const Sends extends readonly (() => Promise<Answer>)[]>(
  { sql }: TestService,
  accountId: string,
  send: Sends,
  meanwhile: (tx: TransactionSql) => Promise<unknown> = async () => {},
): Promise<AnswersTo<Sends>> {
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
  return (await answers) as AnswersTo<Sends>;
}

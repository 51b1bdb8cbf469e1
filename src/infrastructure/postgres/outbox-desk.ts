import type { DeadLetter, OutboxMessage } from '#application/ports/outbox.ts';
import { connect, type DatabaseAddress } from './connect.ts';

export const STATES = ['waiting', 'dead', 'sent'] as const;
export type State = (typeof STATES)[number];

/** What an operator may see of a message: everything but what it says. */
export type ListedMessage = {
  id: string;
  kind: OutboxMessage['kind'];
  template: string;
  recipient: string;
  state: State;
  attempts: number;
  created_at: Date;
  expires_at: Date;
  /** When it was sent, died, or is tried next. */
  at: Date;
  failure: DeadLetter | null;
  reply_code: string | null;
  last_error: string | null;
  provider_id: string | null;
  replayable: boolean;
};

export type Desk = {
  /** Newest first. @param state null: all of them */
  list(state: State | null, limit: number, at: Date): Promise<ListedMessage[]>;
  /** Puts dead letters that can still be read back in the queue, once each. @param ids null: all of them @returns their ids */
  replay(ids: readonly string[] | null, at: Date): Promise<string[]>;
  close(): Promise<void>;
};

/** The outbox as its operator sees it, over a connection of its own. */
export function openDesk(address: DatabaseAddress): Desk {
  const sql = connect(address, { max: 1, connect_timeout: 5 });
  const isIn = {
    waiting: sql`sent_at is null and failed_at is null`,
    dead: sql`failed_at is not null`,
    sent: sql`sent_at is not null`,
  };
  const replayable = (at: Date) => sql`(failed_at is not null and sealed is not null and expires_at > ${at})`;
  return {
    list: (state, limit, at) => sql<ListedMessage[]>`
      select id, kind, template, recipient, attempts, created_at, expires_at, failure, reply_code, last_error, provider_id,
        case when sent_at is not null then 'sent' when failed_at is not null then 'dead' else 'waiting' end as state,
        coalesce(sent_at, failed_at, next_attempt_at) as at, ${replayable(at)} as replayable
      from outbox where ${state === null ? sql`true` : isIn[state]} order by created_at desc, id desc limit ${limit}`,
    async replay(ids, at) {
      const rows = await sql<{ id: string }[]>`
        update outbox set failed_at = null, failure = null, next_attempt_at = ${at}
        where ${replayable(at)} and ${ids === null ? sql`true` : sql`id in ${sql(ids as string[])}`}
        returning id`;
      return rows.map(({ id }) => id);
    },
    close: () => sql.end(),
  };
}

import type { Handle } from './connect.ts';

/** What SMS may cost, counted where it outlives every restart and all replicas count together. */

/** The row's lock puts any number at once in a line: one too many is told so, whoever they are. @returns whether it was counted */
export async function countSms(sql: Handle, isToNewNumber: boolean, mostPerDay: number, at: Date): Promise<boolean> {
  const newNumbers = isToNewNumber ? 1 : 0;
  const rows = await sql`
    insert into sms_days as d (day, sent, to_new_numbers) values (${dayOf(at)}::date, 1, ${newNumbers}::int)
    on conflict (day) do update set sent = d.sent + 1, to_new_numbers = d.to_new_numbers + ${newNumbers}::int
    where d.sent < ${mostPerDay}::int and (${newNumbers}::int = 0 or d.to_new_numbers < ${Math.ceil(mostPerDay / 2)}::int)
    returning day`;
  return rows.length === 1;
}

export async function smsOf(sql: Handle, at: Date): Promise<number> {
  const [row] = await sql<{ sent: number }[]>`select sent from sms_days where day = ${dayOf(at)}::date`;
  return row?.sent ?? 0;
}

/** Whatever the time zone of the database is. */
export function dayOf(at: Date): string {
  return at.toISOString().slice(0, 10);
}

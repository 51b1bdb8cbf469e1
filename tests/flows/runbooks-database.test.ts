import { expect } from 'vitest';
import { connect } from '#infrastructure/postgres/connect.ts';
import { addEvents } from '#tests/support/audit.ts';
import { PASSWORD } from '#tests/support/people.ts';
import { walkThrough } from '#tests/support/runbook-walk.ts';
import { until } from '#tests/support/until.ts';
import { checkedOut, commitBeforeNewestMigration } from '#tests/support/version-before.ts';

/** The runbooks of what lies in PostgreSQL, from the schema of the version before on. */

/** A month that the page names, and that ended long enough ago. */
const ARCHIVED = '2026-03';
const EVENTS = 57;

const before = commitBeforeNewestMigration();

walkThrough(
  'database',
  ({ stage, post, account, signInAdmin }) => {
    const applied = () => stage().sql('select name from schema_migrations order by name').split('\n');
    let schemaBefore: string[] = [];
    let user = { id: '', email: '' };
    let session: { [name: string]: string } = {};
    return [
      {
        page: 'upgrade',
        async before() {
          schemaBefore = applied();
          user = account();
          session = (await post('login', { email: user.email, password: PASSWORD })).body;
        },
        says: before === null ? [/The schema is up to date/] : [/^Applied: /m, /unbroken/],
        async after() {
          if (before !== null) expect(applied().length).toBeGreaterThan(schemaBefore.length);
          // The page ends with the way back; the days that follow are those of the new version.
          expect((await stage().run('use_version "$NEW"')).code).toBe(0);
          await stage().restart();
          await signInAdmin();
          const next = await post('refresh', { refresh_token: session['refresh_token'] });
          expect(next.status, JSON.stringify(next.body)).toBe(200);
          expect((await post('login', { email: user.email, password: PASSWORD })).status).toBe(200);
          expect(stage().sql(`select count(*) from audit_events where account_id = '${user.id}'`)).not.toBe('0');
        },
      },
      {
        page: 'audit',
        async before() {
          const sql = connect({ url: stage().ownerUrl }, { max: 1 });
          await sql`select audit_make_month(${ARCHIVED})`;
          await addEvents(sql, EVENTS, new Date(`${ARCHIVED}-03T03:03:03Z`));
          await sql.end();
          await until('all events are sealed', () => stage().latchkey(['audit', 'verify', '--json']).includes('"waiting":0'), 30);
        },
        says: [
          /latchkey_service may do what the service needs/,
          new RegExp(`^${ARCHIVED}: ${EVENTS} events are at file://.* and gone from the database$`, 'm'),
          new RegExp(`^${ARCHIVED} is unbroken: ${EVENTS} events$`, 'm'),
          new RegExp(`^ LOGIN_FAILED +\\| +${EVENTS}$`, 'm'),
        ],
        async after() {
          expect(stage().sql("select to_regclass('audit_events_2026_03') is null")).toBe('t');
          expect(stage().sql("select count(*) from pg_stat_activity where usename = 'latchkey'")).toBe('0');
        },
      },
      { page: 'postgres-failover', says: [/backup successfully verified/, /unbroken/] }, // last: the database is elsewhere then
    ];
  },
  { before: () => (before === null ? null : checkedOut(before)) },
);

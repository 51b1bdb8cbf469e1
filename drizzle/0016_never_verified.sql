-- These tables lose rows as fast as they get them, and some are read from the end where rows go: `issue` sweeps tickets from the front of
-- tickets_expiry, workers claim from the front of outbox_waiting. PostgreSQL would vacuum when 20 percent are dead: of a million tickets
-- a sweep of five then reads 200,000 dead entries, which takes 10 ms; with 20,000 it is 0.1 ms, at any size. Inserts keep their
-- threshold, because a vacuum for the dead counts for them too. So does analyze: a young table needs it long before 20,000 rows.
-- A vacuum that finds less than 2 percent of the pages with dead rows leaves the indexes as they are: not where the front is what matters.
-- First in here, because they may wait for a vacuum that runs, and meanwhile keep nobody else waiting.
ALTER TABLE "tickets" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, vacuum_index_cleanup = on);--> statement-breakpoint
ALTER TABLE "outbox" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, vacuum_index_cleanup = on);--> statement-breakpoint
ALTER TABLE "sessions" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);--> statement-breakpoint
ALTER TABLE "login_throttles" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);--> statement-breakpoint
-- Its index is a migration of its own: this locks out those who read, until the end.
ALTER TABLE "accounts" ADD COLUMN "verify_by" timestamp (3) with time zone;

CREATE INDEX "sessions_live" ON "sessions" USING btree ("account_id","revoked_at");--> statement-breakpoint
CREATE INDEX "tickets_open" ON "tickets" USING btree ("account_id","purpose","used_at");--> statement-breakpoint
-- Last, because to drop one stops even those who read, until all of this is there.
DROP INDEX "sessions_live_of_account";--> statement-breakpoint
DROP INDEX "tickets_open_of_account";--> statement-breakpoint
DROP INDEX "accounts_with_user";

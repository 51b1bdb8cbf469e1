DROP INDEX "outbox_due";--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "failure" text;--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "reply_code" text;--> statement-breakpoint
CREATE INDEX "outbox_waiting" ON "outbox" USING btree ("kind","next_attempt_at") WHERE sent_at is null and failed_at is null;--> statement-breakpoint
CREATE INDEX "outbox_dead" ON "outbox" USING btree ("expires_at") WHERE failed_at is not null and sealed is not null;--> statement-breakpoint
CREATE INDEX "outbox_over" ON "outbox" USING btree ("created_at") WHERE sent_at is not null or failed_at is not null;
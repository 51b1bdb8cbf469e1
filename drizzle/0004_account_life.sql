ALTER TABLE "accounts" DROP CONSTRAINT "accounts_status";--> statement-breakpoint
ALTER TABLE "accounts" ADD COLUMN "erase_at" timestamp (3) with time zone;--> statement-breakpoint
CREATE INDEX "accounts_due_for_erasure" ON "accounts" USING btree ("erase_at") WHERE erase_at is not null;--> statement-breakpoint
CREATE INDEX "sessions_of_account" ON "sessions" USING btree ("account_id","id");--> statement-breakpoint
CREATE INDEX "tickets_of_account" ON "tickets" USING btree ("account_id","id");--> statement-breakpoint
ALTER TABLE "accounts" ADD CONSTRAINT "accounts_erase_at" CHECK (("accounts"."status" = 'deleted') = ("accounts"."erase_at" is not null));--> statement-breakpoint
ALTER TABLE "accounts" ADD CONSTRAINT "accounts_status" CHECK ("accounts"."status" in ('active', 'suspended', 'deleted'));
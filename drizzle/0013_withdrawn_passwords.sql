ALTER TABLE "accounts" ADD COLUMN "password_withdrawn_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "accounts" ADD COLUMN "sessions_ended_at" timestamp (3) with time zone;
ALTER TABLE "login_throttles" ADD COLUMN "locks" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "login_throttles" ADD COLUMN "told_at" timestamp (3) with time zone;
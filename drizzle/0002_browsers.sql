ALTER TABLE "sessions" ALTER COLUMN "refresh_secret_hash" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "cookie_hash" "bytea";--> statement-breakpoint
CREATE UNIQUE INDEX "sessions_cookie" ON "sessions" USING btree ("cookie_hash") WHERE cookie_hash is not null;
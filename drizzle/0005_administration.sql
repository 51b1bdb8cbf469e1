CREATE TABLE "ip_block_revisions" (
	"id" smallint PRIMARY KEY NOT NULL,
	"revision" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ip_blocks" (
	"id" uuid PRIMARY KEY NOT NULL,
	"network" "cidr" NOT NULL,
	"reason" text NOT NULL,
	"origin" text NOT NULL,
	"created_by" uuid,
	"created_at" timestamp (3) with time zone NOT NULL,
	"ends_at" timestamp (3) with time zone,
	CONSTRAINT "ip_blocks_automatic_end" CHECK ("ip_blocks"."origin" = 'manual' or "ip_blocks"."ends_at" is not null)
);
--> statement-breakpoint
CREATE TABLE "service_clients" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"secret_hash" "bytea" NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"revoked_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE UNIQUE INDEX "ip_blocks_network" ON "ip_blocks" USING btree ("network");--> statement-breakpoint
CREATE INDEX "ip_blocks_end" ON "ip_blocks" USING btree ("ends_at");--> statement-breakpoint
CREATE INDEX "accounts_by_status" ON "accounts" USING btree ("status","id");--> statement-breakpoint
CREATE INDEX "accounts_email_prefix" ON "accounts" USING btree ("email_canonical" text_pattern_ops);--> statement-breakpoint
CREATE INDEX "accounts_username_prefix" ON "accounts" USING btree ("username_canonical" text_pattern_ops);--> statement-breakpoint
CREATE INDEX "accounts_with_user" ON "accounts" USING btree ("id") WHERE 'user' = any (roles);--> statement-breakpoint
CREATE INDEX "accounts_with_moderator" ON "accounts" USING btree ("id") WHERE 'moderator' = any (roles);--> statement-breakpoint
CREATE INDEX "accounts_with_staff" ON "accounts" USING btree ("id") WHERE 'staff' = any (roles);--> statement-breakpoint
CREATE INDEX "accounts_with_admin" ON "accounts" USING btree ("id") WHERE 'admin' = any (roles);--> statement-breakpoint
CREATE INDEX "audit_events_in_time" ON "audit_events" USING btree ("occurred_at","id");--> statement-breakpoint
CREATE INDEX "audit_events_of_type" ON "audit_events" USING btree ("type","occurred_at","id");--> statement-breakpoint
CREATE INDEX "audit_events_from_ip" ON "audit_events" USING btree ("ip","occurred_at","id");--> statement-breakpoint
CREATE INDEX "audit_events_of_risk" ON "audit_events" USING btree ("occurred_at","id") WHERE risk > 0;--> statement-breakpoint
CREATE INDEX "audit_events_of_high_risk" ON "audit_events" USING btree ("occurred_at","id") WHERE risk >= 50;
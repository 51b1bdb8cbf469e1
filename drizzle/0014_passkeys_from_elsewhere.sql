ALTER TABLE "passkeys" ALTER COLUMN "is_backup_eligible" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "passkeys" ADD COLUMN "user_handle" "bytea";
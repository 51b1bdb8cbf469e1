-- Hand-written: the position of an event is its transaction's number. `migrate` sets the function anew where a database was restored
-- from a dump: the number of transactions begins again there, and positions must go on rising.
CREATE FUNCTION audit_position() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT pg_current_xact_id()::text::bigint';--> statement-breakpoint
-- Below it every transaction has ended: no event can appear there any more.
CREATE FUNCTION audit_horizon() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint';--> statement-breakpoint
CREATE TABLE "audit_archives" (
	"month" text PRIMARY KEY NOT NULL,
	"location" text NOT NULL,
	"manifest" text NOT NULL,
	"archived_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_seals" (
	"number" bigint PRIMARY KEY NOT NULL,
	"month" text NOT NULL,
	"events" integer NOT NULL,
	"last_position" bigint NOT NULL,
	"last_id" uuid NOT NULL,
	"entries" "bytea" NOT NULL,
	"previous" "bytea" NOT NULL,
	"key_id" "bytea" NOT NULL,
	"sealed_at" timestamp (3) with time zone NOT NULL,
	"mac" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "leases" (
	"job" text PRIMARY KEY NOT NULL,
	"holder" uuid NOT NULL,
	"held_until" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
-- Hand-written: in two steps, so that no row is written anew.
ALTER TABLE "audit_events" ADD COLUMN "position" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "audit_events" ALTER COLUMN "position" SET DEFAULT audit_position();--> statement-breakpoint
CREATE INDEX "audit_seals_of_month" ON "audit_seals" USING btree ("month","number");--> statement-breakpoint
CREATE INDEX "audit_events_position" ON "audit_events" USING btree ("position","id");--> statement-breakpoint
CREATE INDEX "sessions_absolute_end" ON "sessions" USING btree ("absolute_end_at");--> statement-breakpoint
-- Hand-written from here on. What happened is not changed, whoever asks.
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit trail is only added to: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;--> statement-breakpoint
CREATE TRIGGER audit_refuses_change BEFORE UPDATE OR DELETE ON audit_events FOR EACH ROW EXECUTE FUNCTION audit_refuse();--> statement-breakpoint
CREATE TRIGGER audit_refuses_change BEFORE UPDATE ON audit_seals FOR EACH ROW EXECUTE FUNCTION audit_refuse();--> statement-breakpoint
CREATE TRIGGER audit_refuses_change BEFORE UPDATE OR DELETE ON audit_archives FOR EACH ROW EXECUTE FUNCTION audit_refuse();--> statement-breakpoint
-- Row triggers come to every partition by themselves, those on TRUNCATE do not.
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_events'::regclass
    UNION ALL VALUES ('audit_events'), ('audit_seals'), ('audit_archives') LOOP
    EXECUTE format('CREATE TRIGGER audit_refuses_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()', name);
  END LOOP;
END $$;--> statement-breakpoint
-- The seals of a month go when the month is archived and dropped.
CREATE FUNCTION audit_keep_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF to_regclass('audit_events_' || replace(OLD.month, '-', '_')) IS NULL AND EXISTS (SELECT FROM audit_archives WHERE month = OLD.month) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the seals of % stay as long as its events', OLD.month USING ERRCODE = 'insufficient_privilege';
END $$;--> statement-breakpoint
CREATE TRIGGER audit_keeps_seals BEFORE DELETE ON audit_seals FOR EACH ROW EXECUTE FUNCTION audit_keep_seal();--> statement-breakpoint
-- Makes the partition of a month ('2026-11'), once, and moves there what had to go to the default partition meanwhile. It runs as
-- the owner of the tables, so that the service's role needs no right to change them.
CREATE FUNCTION audit_make_month(month text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
  name text := 'audit_events_' || replace(month, '-', '_');
  begins timestamptz := (month || '-01')::timestamp AT TIME ZONE 'UTC';
  ends timestamptz := ((month || '-01')::timestamp + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
  IF to_regclass(name) IS NOT NULL THEN RETURN false; END IF;
  -- Events wait meanwhile: one on its way to the default partition would be refused, or have the month refused.
  LOCK TABLE ONLY audit_events IN SHARE ROW EXCLUSIVE MODE;
  IF to_regclass(name) IS NOT NULL THEN RETURN false; END IF;
  EXECUTE format('CREATE TABLE %I (LIKE audit_events)', name);
  IF EXISTS (SELECT FROM audit_events_default WHERE occurred_at >= begins AND occurred_at < ends) THEN
    ALTER TABLE audit_events_default DISABLE TRIGGER audit_refuses_change;
    EXECUTE format('WITH moved AS (DELETE FROM audit_events_default WHERE occurred_at >= $1 AND occurred_at < $2 RETURNING *)
      INSERT INTO %I SELECT * FROM moved', name) USING begins, ends;
    ALTER TABLE audit_events_default ENABLE TRIGGER audit_refuses_change;
  END IF;
  EXECUTE format('CREATE TRIGGER audit_refuses_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()', name);
  EXECUTE format('ALTER TABLE audit_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, begins, ends);
  RETURN true;
END $$;--> statement-breakpoint
-- Drops the partition of a month that was archived up to this event, if no writer has to wait for it longer than the lock timeout.
-- Whoever holds the service's role can make it drop nothing younger than this.
CREATE FUNCTION audit_drop_month(month text, last_position bigint, last_id uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
  name text := 'audit_events_' || replace(month, '-', '_');
  is_late boolean;
BEGIN
  IF to_regclass(name) IS NULL THEN RETURN false; END IF;
  IF ((month || '-01')::timestamp + interval '1 month') AT TIME ZONE 'UTC' > now() - interval '29 days' THEN
    RAISE EXCEPTION 'the month % is too young to be dropped', month USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF NOT EXISTS (SELECT FROM audit_archives a WHERE a.month = audit_drop_month.month) THEN
    RAISE EXCEPTION 'the month % was not archived', month USING ERRCODE = 'insufficient_privilege';
  END IF;
  EXECUTE format('ALTER TABLE audit_events DETACH PARTITION %I', name);
  EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE (position, id) > ($1, $2))', name) INTO is_late USING last_position, last_id;
  IF is_late THEN
    RAISE EXCEPTION 'the month % has events that its archive has not', month USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  EXECUTE format('DROP TABLE %I', name);
  RETURN true;
END $$;--> statement-breakpoint
REVOKE EXECUTE ON FUNCTION audit_make_month(text), audit_drop_month(text, bigint, uuid) FROM PUBLIC;

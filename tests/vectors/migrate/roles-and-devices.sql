-- As Alembic makes it for a service of this kind, filled from the people of fastapi-sqlalchemy.sql.
CREATE TABLE roles (id UUID NOT NULL PRIMARY KEY, name VARCHAR(50) NOT NULL UNIQUE, description TEXT);
CREATE TABLE users (
  id UUID NOT NULL,
  email VARCHAR(255) NOT NULL,
  username VARCHAR(50) NOT NULL,
  first_name VARCHAR(100),
  last_name VARCHAR(100),
  hashed_password VARCHAR(255) NOT NULL,
  is_active BOOLEAN NOT NULL,
  email_verified_at TIMESTAMP WITHOUT TIME ZONE,
  is_locked BOOLEAN NOT NULL,
  deleted_at TIMESTAMP WITHOUT TIME ZONE,
  created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (email),
  UNIQUE (username)
);
CREATE TABLE user_roles (
  user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  role_id UUID NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
  PRIMARY KEY (user_id, role_id)
);
CREATE TABLE mfa_devices (
  id UUID NOT NULL PRIMARY KEY,
  user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  device_type VARCHAR(20) NOT NULL,
  secret TEXT,
  phone_number VARCHAR(20),
  is_verified BOOLEAN NOT NULL,
  backup_codes JSONB,
  created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
);
CREATE TABLE refresh_tokens (
  id UUID NOT NULL PRIMARY KEY,
  user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  token_hash VARCHAR(64) NOT NULL UNIQUE,
  family_id UUID NOT NULL,
  expires_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
  revoked_at TIMESTAMP WITHOUT TIME ZONE
);
insert into roles values (gen_random_uuid(), 'super_admin'), (gen_random_uuid(), 'moderator'), (gen_random_uuid(), 'support'), (gen_random_uuid(), 'user');
insert into users select id, email, coalesce(username, 'alan turing'), split_part(full_name, ' ', 1), nullif(split_part(full_name, ' ', 2), ''),
  hashed_password, is_active, case when is_verified then created_at end, false, null, created_at from people;
insert into users values (gen_random_uuid(), 'gone@example.com', 'gone', null, null, 'x', true, now(), false, now(), now());
insert into user_roles select p.id, r.id from people p join roles r on r.name = case p.role when 'admin' then 'super_admin' else p.role end;
insert into user_roles select p.id, r.id from people p join roles r on r.name = 'support' where p.username = 'grace';
insert into mfa_devices select gen_random_uuid(), id, 'totp', totp_secret, null, true, '["1","2"]', created_at from people where mfa_enabled;
insert into mfa_devices select gen_random_uuid(), id, 'totp', 'never finished', null, false, null, created_at + interval '1 day' from people where mfa_enabled;
insert into mfa_devices select gen_random_uuid(), id, 'sms', null, phone_number, true, null, created_at from people where sms_mfa_enabled;
insert into refresh_tokens select gen_random_uuid(), id, md5(email), gen_random_uuid(), now() + interval '7 days', null from users;

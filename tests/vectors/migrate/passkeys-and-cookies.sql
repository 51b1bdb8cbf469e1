-- As Alembic makes it for a service of this kind, filled from the people of fastapi-sqlalchemy.sql. Nobody has a password.
CREATE TABLE users (
  id UUID NOT NULL,
  email VARCHAR(320) NOT NULL,
  is_active BOOLEAN NOT NULL,
  is_email_verified BOOLEAN NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (email)
);
CREATE TABLE webauthn_credentials (
  id UUID NOT NULL PRIMARY KEY,
  user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  credential_id BYTEA NOT NULL UNIQUE,
  public_key BYTEA NOT NULL,
  sign_count BIGINT NOT NULL,
  name VARCHAR(100)
);
CREATE TABLE sessions (
  id UUID NOT NULL PRIMARY KEY,
  user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  token_hash BYTEA NOT NULL UNIQUE,
  expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
  rotated_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE magic_link_tokens (
  id UUID NOT NULL PRIMARY KEY,
  user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  token_hash BYTEA NOT NULL UNIQUE,
  purpose VARCHAR(30) NOT NULL,
  expires_at TIMESTAMP WITH TIME ZONE NOT NULL
);
insert into users select id, email, is_active, is_verified, created_at at time zone 'utc', now() from people;
insert into sessions select gen_random_uuid(), id, sha256(email::bytea), now() + interval '7 days', null from users;

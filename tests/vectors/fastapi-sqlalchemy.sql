CREATE TABLE users (
  id UUID NOT NULL, 
  email VARCHAR(255) NOT NULL, 
  username VARCHAR(50), 
  full_name VARCHAR(255), 
  hashed_password VARCHAR(255) NOT NULL, 
  role VARCHAR(20) DEFAULT 'user' NOT NULL, 
  is_active BOOLEAN DEFAULT true NOT NULL, 
  is_verified BOOLEAN DEFAULT false NOT NULL, 
  mfa_enabled BOOLEAN DEFAULT false NOT NULL, 
  totp_secret TEXT, 
  phone_number VARCHAR(20), 
  sms_mfa_enabled BOOLEAN DEFAULT false NOT NULL, 
  created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT timezone('utc', now()) NOT NULL, 
  PRIMARY KEY (id), 
  UNIQUE (username)
);

insert into users (id, email, username, full_name, hashed_password, role, is_active, is_verified, mfa_enabled, totp_secret, phone_number,
  sms_mfa_enabled, created_at) values
  ('ec86b242-dbbd-407d-935b-52652c984c4d', 'Ada.Lovelace@Example.com', 'ada', 'Ada Lovelace', '$2b$10$3TsuJQ5BMVofZoIbbBd8y.y8B1O5PrMP5Rlu/NzyJ2NLerngEMFfG', 'admin', true, true, true, 'gAAAAABrAXan3sDptAdxU2THMi7Aqmre8yUTgCCnUt9RTOFH3FWc91lC01rGJumuyy_8udCUleDLb8e9nySwPsjzyrldmY8AUSqALf6sgYp61nY42KgAKILqCHbTn2vICPoRuu6VcWPa', null, false, '2021-01-03 04:05:06'),
  ('2c564407-e5dd-4f77-b170-165d88acf951', 'grace@example.com', 'grace', 'Grace "Amazing" Hopper', '$argon2id$v=19$m=16384,t=2,p=2$cY8iDlw8hftpmvn2R992Qg$koYt15deyksguAE9IXjBMg', 'user', true, true, true, 'gAAAAABrAXan7VkA39Jiqvds9jOwLdmsQ22nGZtpJzEV5SHsadF67eQBbCmzMejMPzCkPmdMt0zmEojOhJUPi_p96FRZOb2JyTc5GtbhOY8XrV48jTLkN1wi7oIjsbL2JfQJHpARZ71W', null, false, '2022-02-03 04:05:06.123456'),
  ('fbd8ae8c-3612-4ed8-bc62-3e2dfc5f0ee2', 'alan@example.com', null, 'Алан Тьюринг', '$2b$10$QS8/P0TJi5KUbY10pJ3Gw.awsl6oC9mMryc8wMPH9qgiAli.dseDu', 'user', true, true, false, null, null, false, '2023-03-03 04:05:06'),
  ('8a8512d8-75bd-4a21-8059-8ba068bf8e84', 'edsger@example.com', 'edsger', null, '$argon2id$v=19$m=16384,t=2,p=2$nu2EwsxnYbqauOAw6JSOuQ$TfqKfk44Ja+FZ7Tf35VEMQ', 'user', true, false, false, null, null, false, '2024-04-03 04:05:06.123456'),
  ('f446a831-69f8-4a32-947e-0ef5023c143d', 'barbara@example.com', 'barbara', 'Barbara Liskov', '$2b$10$ZeX5CqLiJvj3w7wXXqnxb.684PkMUkFfm0SJY/r98./D3OunUyWCW', 'moderator', false, true, false, null, null, false, '2021-05-03 04:05:06'),
  ('3549fd4a-b39f-44fc-955c-181426aabdd0', 'joan@example.com', 'joan', 'Joan Clarke', '$argon2id$v=19$m=16384,t=2,p=2$VlKfJun5U/P7oGteAkbfKQ$t0uJm30DrkRtAv0dIAB/9A', 'user', true, true, false, null, '+14155552671', true, '2022-06-03 04:05:06.123456'),
  ('0241f353-8ee2-49f2-a1a9-1e442b051cc7', 'ADA.lovelace@example.com', 'ada2', 'Ada again', '$2b$10$XL5vY0sn0qC1BJDLeFNFMueuZSauPKO1Kr9e5OKRNMJ12dixFQ.ya', 'user', true, true, false, null, null, false, '2023-07-03 04:05:06'),
  ('76320a20-bf00-4e4a-8621-5e67560a4bcf', 'old@example.com', 'old one', 'Before hashing was taken seriously', '5f4dcc3b5aa765d61d8327deb882cf99', 'user', true, true, false, null, null, false, '2024-08-03 04:05:06.123456');

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  AdminCreateUserCommand,
  AdminSetUserPasswordCommand,
  AssociateSoftwareTokenCommand,
  type AttributeType,
  CognitoIdentityProviderClient,
  CreateUserPoolClientCommand,
  CreateUserPoolCommand,
  InitiateAuthCommand,
  SetUserMFAPreferenceCommand,
  VerifySoftwareTokenCommand,
} from '@aws-sdk/client-cognito-identity-provider';
import type { Environment } from '#src/config.ts';
import { freePort } from './free-port.ts';
import { totpCode } from './totp.ts';
import { until } from './until.ts';

export type PoolUser = { email: string; password: string };

export type CognitoLocal = {
  /** What leads a service to the pool. */
  settings: Environment;
  /** @param isVerified false: the address is not even called verified (the emulator takes any value for a yes) */
  add(user: PoolUser, how?: { isVerified?: boolean; isPermanent?: boolean }): Promise<void>;
  tokens(user: PoolUser): Promise<{ idToken: string; accessToken: string }>;
  enrolTotp(user: PoolUser): Promise<{ secret: string }>;
  stop(): Promise<void>;
};

/** A user pool of its own in the emulator cognito-local, as a process. It cannot enrol phones: SMS is the stub's. */
export async function cognitoLocal(): Promise<CognitoLocal> {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-cognito-'));
  const { child, endpoint } = await started(folder);
  const client = new CognitoIdentityProviderClient({ region: 'local', endpoint, credentials: { accessKeyId: 'x', secretAccessKey: 'x' } });
  const pool = (await client.send(new CreateUserPoolCommand({ PoolName: 'users', MfaConfiguration: 'OPTIONAL' }))).UserPool;
  const UserPoolId = pool?.Id ?? '';
  const made = await client.send(new CreateUserPoolClientCommand({ UserPoolId, ClientName: 'latchkey' }));
  const ClientId = made.UserPoolClient?.ClientId ?? '';

  async function tokens({ email, password }: PoolUser) {
    const AuthParameters = { USERNAME: email, PASSWORD: password };
    const answer = await client.send(new InitiateAuthCommand({ AuthFlow: 'USER_PASSWORD_AUTH', ClientId, AuthParameters }));
    return { idToken: answer.AuthenticationResult?.IdToken ?? '', accessToken: answer.AuthenticationResult?.AccessToken ?? '' };
  }

  return {
    settings: { COGNITO_ENDPOINT: endpoint, COGNITO_USER_POOL_ID: UserPoolId, COGNITO_CLIENT_ID: ClientId, COGNITO_TIMEOUT_MS: '5000' },
    async add({ email, password }, { isVerified = true, isPermanent = true } = {}) {
      const UserAttributes: AttributeType[] = [{ Name: 'email', Value: email }];
      if (isVerified) UserAttributes.push({ Name: 'email_verified', Value: 'true' });
      const TemporaryPassword = isPermanent ? undefined : password;
      const user = { UserPoolId, Username: email };
      await client.send(new AdminCreateUserCommand({ ...user, UserAttributes, TemporaryPassword, MessageAction: 'SUPPRESS' }));
      if (isPermanent) await client.send(new AdminSetUserPasswordCommand({ ...user, Password: password, Permanent: true }));
    },
    tokens,
    async enrolTotp(user) {
      const { accessToken: AccessToken } = await tokens(user);
      const { SecretCode: secret = '' } = await client.send(new AssociateSoftwareTokenCommand({ AccessToken }));
      await client.send(new VerifySoftwareTokenCommand({ AccessToken, UserCode: totpCode(secret, new Date()) }));
      const SoftwareTokenMfaSettings = { Enabled: true, PreferredMfa: true };
      await client.send(new SetUserMFAPreferenceCommand({ AccessToken, SoftwareTokenMfaSettings }));
      return { secret };
    },
    async stop() {
      client.destroy();
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The issuer of its tokens names its port, so one is chosen beforehand; another when somebody else's tests take it meanwhile. */
async function started(folder: string): Promise<{ child: ChildProcess; endpoint: string }> {
  const program = path.join(path.dirname(fileURLToPath(import.meta.resolve('cognito-local'))), 'bin/start.js');
  for (let tries = 1; ; tries++) {
    const port = await freePort();
    const env = { PATH: process.env['PATH'], PORT: String(port), HOST: '127.0.0.1' };
    const child = spawn(process.execPath, [program], { cwd: folder, env, stdio: 'ignore' });
    const endpoint = `http://127.0.0.1:${port}`;
    const isUp = await until(
      'cognito-local answers',
      async () => {
        if (child.exitCode !== null) return 'taken';
        return (await fetch(`${endpoint}/health`).catch(() => null))?.ok ? 'up' : null;
      },
      30,
    );
    if (isUp === 'up') return { child, endpoint };
    if (tries === 5) throw new Error('cognito-local does not start');
  }
}

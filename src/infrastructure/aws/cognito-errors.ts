import { DependencyDown } from '#application/ports/errors.ts';

/** What AWS Cognito's errors mean for a sign-in (InitiateAuth, RespondToAuthChallenge: "Errors" of the API reference). */
export type Meaning =
  | { kind: 'wrong'; reason: string }
  | { kind: 'over' }
  | { kind: 'password-policy'; detail: string }
  /** It judges nothing now. */
  | { kind: 'later' }
  /** It cannot be asked this way: a setting, ours or the pool's, is off. */
  | { kind: 'misconfigured' };

/** How long a client waits when the pool asks us to slow down. */
const THROTTLED_SECONDS = 5;

const WRONG: Record<string, string> = {
  UserNotFoundException: 'unknown-at-provider',
  UserNotConfirmedException: 'not-confirmed-at-provider',
  PasswordResetRequiredException: 'reset-required-at-provider',
  UserLambdaValidationException: 'refused-by-provider',
  CodeMismatchException: 'wrong',
  ExpiredCodeException: 'wrong',
  EnableSoftwareTokenMFAException: 'wrong',
};

const LATER = new Set([
  'TooManyRequestsException',
  'LimitExceededException',
  'TooManyFailedAttemptsException',
  'ThrottlingException',
  'Throttling',
  'RequestLimitExceeded',
  'SlowDown',
  'InternalErrorException',
  'InternalFailure',
  'ServiceUnavailable',
  'ServiceUnavailableException',
]);

/** @param asked `password`: the first step, where a password that does not fit the policy is just wrong */
export function meaningOf({ name, message }: { name: string; message: string }, asked: 'password' | 'challenge'): Meaning {
  if (name === 'NotAuthorizedException') {
    // The same name says that our secret is off, and that the user's tries are over for a while: neither is a wrong password.
    if (/secret/i.test(message)) return { kind: 'misconfigured' };
    if (/attempts exceeded/i.test(message)) return { kind: 'wrong', reason: 'locked-at-provider' };
    return asked === 'password' ? { kind: 'wrong', reason: 'wrong-at-provider' } : { kind: 'over' };
  }
  if (name === 'InvalidPasswordException') {
    return asked === 'password' ? { kind: 'wrong', reason: 'wrong-at-provider' } : { kind: 'password-policy', detail: message };
  }
  if (name === 'PasswordHistoryPolicyViolationException') return { kind: 'password-policy', detail: message };
  const reason = WRONG[name];
  if (reason !== undefined) return { kind: 'wrong', reason };
  return { kind: LATER.has(name) ? 'later' : 'misconfigured' };
}

/** 503 for what the pool did not judge. */
export function unavailable({ kind }: { kind: 'later' | 'misconfigured' }, cause: unknown): DependencyDown {
  return new DependencyDown('cognito', { cause, ...(kind === 'later' ? { retryAfterSeconds: THROTTLED_SECONDS } : {}) });
}

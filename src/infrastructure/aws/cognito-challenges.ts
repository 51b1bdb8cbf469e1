import type { InitiateAuthCommandOutput } from '@aws-sdk/client-cognito-identity-provider';
import type { Challenge, ChallengeMethod, ProviderAnswer } from '#application/ports/federated-identity.ts';

/** What Cognito asks besides the password (API reference of RespondToAuthChallenge), in the words of verify-mfa. */

export type Authenticated = Pick<InitiateAuthCommandOutput, 'AuthenticationResult' | 'ChallengeName' | 'ChallengeParameters' | 'Session'>;

/** By the name of Cognito: how it is answered here, and what the answer proves. A code by mail is a code that was sent, and no factor. */
const KNOWN: Record<string, Pick<Challenge, 'proves'> & { method: ChallengeMethod; field: string }> = {
  SOFTWARE_TOKEN_MFA: { method: 'totp', proves: 'totp', field: 'SOFTWARE_TOKEN_MFA_CODE' },
  SMS_MFA: { method: 'sms', proves: 'sms', field: 'SMS_MFA_CODE' },
  EMAIL_OTP: { method: 'sms', proves: 'email', field: 'EMAIL_OTP_CODE' },
  NEW_PASSWORD_REQUIRED: { method: 'new_password', proves: null, field: 'NEW_PASSWORD' },
};

/** What SELECT_MFA_TYPE may offer, strongest first: of two with one method the first. It has had two names for codes by mail. */
const OFFERS: readonly (readonly [string, ChallengeMethod])[] = [
  ['SOFTWARE_TOKEN_MFA', 'totp'],
  ['SMS_MFA', 'sms'],
  ['EMAIL_OTP', 'sms'],
  ['EMAIL_MFA', 'sms'],
];

export const SELECT = 'SELECT_MFA_TYPE';

/** @param typed the name that was signed in with @returns null: it asks for nothing */
export function challengeIn(answer: Authenticated, typed: string): Extract<ProviderAnswer, { kind: 'challenge' | 'unsupported' }> | null {
  const { ChallengeName: asks, ChallengeParameters: parameters, Session: state = '' } = answer;
  if (asks === undefined) return null;
  const common = { asks, username: userOf(answer, typed), state };
  if (asks === SELECT) {
    const methods = [...offersIn(parameters).keys()];
    const offered = Object.fromEntries(offersIn(parameters));
    if (methods.length > 0) return { kind: 'challenge', challenge: { ...common, methods, offered, proves: null } };
  }
  const lacks = asks === 'NEW_PASSWORD_REQUIRED' ? requiredIn(parameters) : [];
  const known = KNOWN[asks];
  if (known === undefined || lacks.length > 0) return { kind: 'unsupported', asks, lacks };
  return { kind: 'challenge', challenge: { ...common, methods: [known.method], offered: {}, proves: known.proves } };
}

/** @param given the code, or the new password; for a choice: the method */
export function responseTo({ asks, offered, username }: Challenge, given: string): Record<string, string> {
  const [field, value] = asks === SELECT ? ['ANSWER', offered[given as ChallengeMethod] ?? ''] : [KNOWN[asks]?.field ?? '', given];
  return { USERNAME: username, [field]: value };
}

function offersIn(parameters: Authenticated['ChallengeParameters']): Map<ChallengeMethod, string> {
  const named = namesIn(parameters?.['MFAS_CAN_CHOOSE']);
  const offers = new Map<ChallengeMethod, string>();
  for (const [name, method] of OFFERS) if (named.includes(name) && !offers.has(method)) offers.set(method, name);
  return offers;
}

/** The attributes that the pool requires of everybody and this user has not, without their prefix. */
function requiredIn(parameters: Authenticated['ChallengeParameters']): string[] {
  return namesIn(parameters?.['requiredAttributes']).map((name) => name.replace(/^userAttributes\./, ''));
}

/** Of a list in JSON. What is no such list is read as far as it goes: it decides only what is asked for. */
function namesIn(list = ''): string[] {
  return [...list.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name);
}

/** Aliases sign in, but answers and their SECRET_HASH go by the user's own name. */
function userOf({ ChallengeParameters: parameters }: Authenticated, typed: string): string {
  return parameters?.['USER_ID_FOR_SRP'] ?? typed;
}

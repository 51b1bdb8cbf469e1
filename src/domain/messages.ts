import type { Letter } from './mail-layout.ts';

/** What our mails say. No name or other text of a user goes in: nothing to inject, nothing to phish with (ASVS 1.2.1). */
export type MessageTemplate =
  | 'verify-email'
  | 'account-exists'
  | 'reset-password'
  | 'password-changed'
  | 'password-reset'
  | 'password-withdrawn'
  | 'username-changed'
  | 'change-email'
  | 'email-change-asked'
  | 'email-changed'
  | 'email-reverted'
  | 'email-taken-back'
  | 'account-deleted'
  | 'account-kept'
  | 'refresh-token-reused'
  | 'new-device'
  | 'session-moved'
  | 'factor-enrolled'
  | 'factor-removed'
  | 'recovery-codes-made'
  | 'recovery-code-used'
  | 'second-factor-locked'
  | 'passwords-guessed'
  | 'bootstrap-admin'
  | 'account-suspended'
  | 'account-restored'
  | 'roles-changed';

/** Writes a letter. `product` and links come from the operator's settings and our own tokens only. */
export function message(product: string, subject: string, body: Omit<Letter, 'product' | 'subject'>): Letter {
  return { product, subject, ...body };
}

function registered(product: string): string {
  return `You get this mail because somebody entered this address to register at ${product}.`;
}

export function verifyEmailMessage(product: string, url: string): Letter {
  return message(product, `Confirm your e-mail address for ${product}`, {
    heading: 'Confirm your e-mail address',
    lines: ['Open this link to confirm the address and finish your registration. It works once, for 24 hours.'],
    action: { label: 'Confirm the address', url },
    closing: 'If you did not register, do nothing: without this step the account cannot be used.',
    why: registered(product),
  });
}

export function accountExistsMessage(product: string, signInUrl: string): Letter {
  return message(product, `You already have an account at ${product}`, {
    heading: 'You already have an account',
    lines: [
      'Someone, perhaps you, tried to register with this address. Nothing was changed.',
      'Sign in as usual, or ask for a new password there. If you have deleted the account, the link in the mail about that keeps it.',
    ],
    action: { label: 'Sign in', url: signInUrl },
    closing: 'If it was not you, there is nothing to do.',
    why: registered(product),
  });
}

export function resetPasswordMessage(product: string, url: string): Letter {
  return message(product, `Set a new password for ${product}`, {
    heading: 'Set a new password',
    lines: ['Open this link to choose a new password. It works once, for 30 minutes, and ends every session of the account.'],
    action: { label: 'Choose a new password', url },
    closing: 'If you did not ask for this, do nothing: your password stays as it is.',
  });
}

export function passwordChangedMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `Your password at ${product} was changed`, {
    heading: 'Your password was changed',
    lines: ['The password of your account was just changed, and all other sessions were ended.'],
    action: { label: 'It was not you? Set a new password', url: recoveryUrl },
    closing: 'If it was you, there is nothing to do.',
  });
}

export function passwordResetMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `A new password was set at ${product}`, {
    heading: 'A new password was set',
    lines: ['A new password was set with a link sent to this address, and every session of your account was ended.'],
    action: { label: 'It was not you? Set a new password', url: recoveryUrl },
    closing: 'If it was you, sign in with the new password.',
  });
}

export function passwordWithdrawnMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `Choose a new password for ${product}`, {
    heading: 'Your password works no longer',
    lines: [
      'We ended the password of your account and every session of it, because somebody else may know that password.',
      'Choose another one that you use nowhere else: ask for a link on this page, and it comes to this address. ' +
        'Passkeys, authenticator apps and recovery codes stay as they are.',
    ],
    action: { label: 'Choose a new password', url: recoveryUrl },
    closing: 'If you used the same password elsewhere, change it there too. We never ask for a password by mail.',
  });
}

export function usernameChangedMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `Your user name at ${product} was changed`, {
    heading: 'Your user name was changed',
    lines: ['The user name of your account was just changed or taken away. You can always sign in with this e-mail address.'],
    action: { label: 'It was not you? Set a new password', url: recoveryUrl },
    closing: 'If it was you, there is nothing to do.',
  });
}

export function refreshTokenReusedMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `A session at ${product} was ended to protect you`, {
    heading: 'A session was ended to protect you',
    lines: [
      'A sign-in token of your account was used a second time, which happens when somebody has copied it. We ended that session.',
      'Sign in again to go on. If you suspect that someone had access to your device, set a new password.',
    ],
    action: { label: 'Set a new password', url: recoveryUrl },
    closing: 'This message is about one session only; your other devices stay signed in.',
  });
}

/** @param device its kind, one of the few that we name, and its address: nothing that the client wrote */
export function newDeviceMessage(product: string, device: { kind: string; ip: string }, at: Date, url: string): Letter {
  const when = `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  return message(product, `A sign-in to ${product} from a new device`, {
    heading: 'A sign-in from a new device',
    lines: [
      `Somebody signed in to your account on a device that we have not seen before: ${device.kind}, from the address ${device.ip}, on ${when}.`,
      'If it was not you, open this link. It ends every session, makes the password useless, undoes what was added or moved since then, ' +
        'and sends you a link to choose a new one.',
    ],
    action: { label: 'This was not me', url },
    closing: 'If it was you, there is nothing to do.',
  });
}

export function sessionMovedMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `A session at ${product} was ended to protect you`, {
    heading: 'A session was ended to protect you',
    lines: [
      'One of your sessions was used from another kind of device than the one that you signed in with. We ended that session.',
      'Sign in again to go on. If you do not know why this happened, set a new password.',
    ],
    action: { label: 'Set a new password', url: recoveryUrl },
    closing: 'This message is about one session only; your other devices stay signed in.',
  });
}

/** How mails call what is enrolled. */
const FACTOR_NAMES: Record<string, string> = {
  totp: 'an authenticator app',
  sms: 'a phone',
  webauthn: 'a passkey',
  federated: 'your user at AWS Cognito',
};

export function factorEnrolledMessage(product: string, method: string, recoveryUrl: string): Letter {
  const name = FACTOR_NAMES[method] ?? 'an authenticator';
  return message(product, `A way to sign in was added at ${product}`, {
    heading: 'A way to sign in was added',
    lines: [
      `Your account can now be signed in to with ${name}.`,
      'If it was not you, somebody was signed in as you: set a new password, which ends every session, and ask those who run this service to remove what you do not know.',
    ],
    action: { label: 'It was not you? Set a new password', url: recoveryUrl },
    closing: 'If it was you, there is nothing to do.',
  });
}

export function factorRemovedMessage(product: string, method: string, recoveryUrl: string): Letter {
  const name = FACTOR_NAMES[method] ?? 'an authenticator';
  return message(product, `A way to sign in was removed at ${product}`, {
    heading: 'A way to sign in was removed',
    lines: [`Your account was protected by ${name}, which was just removed.`],
    action: { label: 'It was not you? Set a new password', url: recoveryUrl },
    closing: 'If it was you, there is nothing to do.',
  });
}

export function allFactorsRemovedMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `Every second factor was removed at ${product}`, {
    heading: 'Every second factor was removed',
    lines: [
      'Those who run this service removed whatever your account was protected by beside its password: authenticator apps, phones, ' +
        'passkeys and recovery codes. Every session was ended.',
      'Sign in with your password, and enrol a second factor again: until then the password alone opens your account.',
    ],
    action: { label: 'You did not ask for it, or have no password? Set a new one', url: recoveryUrl },
    closing: 'If you did not ask for it, tell those who run this service: somebody may have asked in your name.',
  });
}

export function recoveryCodesMadeMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `New recovery codes at ${product}`, {
    heading: 'New recovery codes were made',
    lines: ['A new set of recovery codes was made for your account. The codes that you had before do not work any more.'],
    action: { label: 'It was not you? Set a new password', url: recoveryUrl },
    closing: 'If it was you, keep the new codes where you would find them without your phone.',
  });
}

export function recoveryCodeUsedMessage(product: string, left: number, recoveryUrl: string): Letter {
  return message(product, `A recovery code was used at ${product}`, {
    heading: 'A recovery code was used',
    lines: [
      `A recovery code of your account was used to sign in or to confirm something. ${left === 1 ? 'One code is' : `${left} codes are`} left.`,
      ...(left < 3 ? ['Make a new set before you run out.'] : []),
    ],
    action: { label: 'It was not you? Set a new password', url: recoveryUrl },
    closing: 'If it was you, there is nothing to do.',
  });
}

export function secondFactorLockedMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `Too many wrong codes for your account at ${product}`, {
    heading: 'Too many wrong codes',
    lines: [
      'Someone got as far as your second factor and then gave too many wrong codes. Codes are refused for an hour.',
      'If it was not you, somebody else has your password or one of your devices: set a new password now.',
    ],
    action: { label: 'Set a new password', url: recoveryUrl },
    closing: 'Nobody got in by this.',
  });
}

export function passwordsGuessedMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `Wrong passwords for your account at ${product}`, {
    heading: 'Someone gave wrong passwords',
    lines: [
      'Someone tried several wrong passwords to sign in to your account. They were stopped, and nobody got in by this.',
      'Browsers that you signed in with before still let you in, and so does a passkey. Elsewhere it may take a while, unless you set a new password.',
      'If it goes on, you will not hear of it again today.',
    ],
    action: { label: 'Set a new password', url: recoveryUrl },
    closing: 'If you mistyped it yourself, there is nothing to do.',
  });
}

export function bootstrapAdminMessage(product: string, url: string): Letter {
  return message(product, `You are the first administrator of ${product}`, {
    heading: 'You are the first administrator',
    lines: [
      `${product} was started with this address as that of its first administrator. Open this link to choose a password. It works once, for 24 hours.`,
      'Then sign in and enrol a second factor: without one nothing can be administered.',
    ],
    action: { label: 'Choose a password', url },
    closing: 'If you do not run this service, do nothing: without this step nobody can use the account.',
  });
}

export function accountSuspendedMessage(product: string): Letter {
  return message(product, `Your account at ${product} was suspended`, {
    heading: 'Your account was suspended',
    lines: ['Those who run this service suspended your account. Every session was ended, and nobody can sign in to it.'],
    closing: 'Ask those who run this service if you do not know why.',
  });
}

export function accountRestoredMessage(product: string, signInUrl: string): Letter {
  return message(product, `Your account at ${product} works again`, {
    heading: 'Your account works again',
    lines: ['Your account is no longer suspended: you can sign in as before.'],
    action: { label: 'Sign in', url: signInUrl },
    closing: 'There is nothing else to do.',
  });
}

export function rolesChangedMessage(product: string, roles: readonly string[], recoveryUrl: string): Letter {
  return message(product, `Your roles at ${product} were changed`, {
    heading: 'Your roles were changed',
    lines: [`Somebody who administers this service changed what you may do. Your roles are now: ${roles.join(', ') || 'none'}.`],
    action: { label: 'Set a new password', url: recoveryUrl },
    closing: 'If you did not expect this, ask those who run this service.',
  });
}

export function smsCodeMessage(product: string, code: string): string {
  return `${code} is your code for ${product}. It works once, for 5 minutes. Nobody from ${product} will ask you for it.`;
}

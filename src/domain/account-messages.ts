import type { Letter } from './mail-layout.ts';
import { message } from './messages.ts';

/** The mails about the life of an account. None names an address: whoever reads along learns nothing. */

export function changeEmailMessage(product: string, url: string): Letter {
  return message(product, `Confirm your new e-mail address for ${product}`, {
    heading: 'Confirm your new e-mail address',
    lines: [
      'Open this link to make this the address of your account. It works once, for an hour, while you stay signed in where you asked for it.',
    ],
    action: { label: 'Use this address', url },
    closing: 'If you did not ask for this, do nothing: without this step this address has nothing to do with the account.',
  });
}

export function addressTakenMessage(product: string, signInUrl: string): Letter {
  return message(product, `You already have an account at ${product}`, {
    heading: 'You already have an account',
    lines: [
      'Someone, perhaps you, tried to make this the address of another account. Nothing was changed.',
      'Sign in as usual, or ask for a new password there.',
    ],
    action: { label: 'Sign in', url: signInUrl },
    closing: 'If it was not you, there is nothing to do.',
  });
}

export function emailChangeAskedMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `A new e-mail address was asked for at ${product}`, {
    heading: 'A new e-mail address was asked for',
    lines: [
      'Somebody who is signed in to your account asked to move it to another e-mail address. It moves when that address is confirmed.',
      'If it was not you, set a new password now: that ends every session, and the change does not happen.',
    ],
    action: { label: 'It was not you? Set a new password', url: recoveryUrl },
    closing: 'If it was you, open the link in the mail to your new address.',
  });
}

export function emailChangedMessage(product: string, revertUrl: string): Letter {
  return message(product, `Your e-mail address at ${product} was changed`, {
    heading: 'Your e-mail address was changed',
    lines: [
      'Your account now has another e-mail address, and its mail goes there. Other sessions were ended.',
      'If it was not you, take the account back with this link. It works once, for 7 days: this address holds again, every session ends, ' +
        'what was added to sign in with since the sign-in that changed it is removed, and you choose a new password.',
    ],
    action: { label: 'It was not you? Take the account back', url: revertUrl },
    closing: 'If it was you, there is nothing to do. Do not pass this mail on: the link opens your account.',
  });
}

export function emailRevertedMessage(product: string, resetUrl: string): Letter {
  return message(product, `Your account at ${product} is yours again`, {
    heading: 'Your account is yours again',
    lines: [
      'This is its e-mail address again. Every session was ended, the password works no longer, and what was added to sign in with ' +
        'since the sign-in that changed it is removed.',
      'Open this link to choose a new password. It works once, for 30 minutes; later, ask for another one.',
    ],
    action: { label: 'Choose a new password', url: resetUrl },
    closing: 'Look through what is set up to sign in with, and at the recent activity, once you are in.',
  });
}

export function emailTakenBackMessage(product: string): Letter {
  return message(product, `This address was taken off an account at ${product}`, {
    heading: 'This address was taken off an account',
    lines: [
      'The account moved to this address a short while ago. It was taken back from the address that it had before, and every session was ended.',
    ],
    closing: 'If the account is yours and you no longer read the mail of the old address, ask those who run this service.',
  });
}

export function accountDeletedMessage(product: string, graceDays: number, keepUrl: string): Letter {
  const when = graceDays === 1 ? 'in one day' : `in ${graceDays} days`;
  return message(product, `Your account at ${product} was deleted`, {
    heading: 'Your account was deleted',
    lines: [
      `Nobody can sign in to it any more, and every session was ended. ${when.replace('in', 'In')} everything held about you is erased.`,
      'If it was not you, or if you change your mind, keep the account with this link until then, and set a new password if it was not you.',
    ],
    action: { label: 'Keep the account', url: keepUrl },
    closing: 'If it was you, there is nothing to do.',
  });
}

export function accountKeptMessage(product: string, recoveryUrl: string): Letter {
  return message(product, `Your account at ${product} was kept`, {
    heading: 'Your account was kept',
    lines: ['The deletion was taken back: everything is as it was. Sign in again to go on.'],
    action: { label: 'It was not you who deleted it? Set a new password', url: recoveryUrl },
    closing: 'If it was you, there is nothing to do.',
  });
}

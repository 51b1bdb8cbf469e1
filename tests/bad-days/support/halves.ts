import type { Counts, Stored, StoredAccount } from './stored.ts';

/**
 * What was written by half: of all that one commit writes (row, event, ticket, mail) some is there and some is not. Whatever the
 * client was told, this must be empty. Holds for what the crowd does, on a database of its own.
 */
export function halves({ accounts, sessions, orphans }: Stored): string[] {
  const found = [...orphans];
  for (const account of accounts) {
    for (const [what, counts] of Object.entries(togetherIn(account))) {
      const [first] = Object.values(counts);
      if (Object.values(counts).some((count) => count !== first)) found.push(`${what} of ${account.email} by half: ${told(counts)}`);
    }
    if (account.activeTotp === 1 && account.codes !== 10) found.push(`${account.email} has an app, and ${account.codes} recovery codes`);
  }
  for (const { id, begun, endedBecause, loggedOut } of sessions) {
    if (begun !== 1) found.push(`the session ${id} began without its event, or more than once: ${begun}`);
    if (loggedOut !== (endedBecause === 'logout' ? 1 : 0))
      found.push(`the session ${id} has ${loggedOut} LOGOUT and ended by ${endedBecause}`);
  }
  return found;
}

/** By what was done: the numbers that are one and the same. */
function togetherIn({ isVerified, activeTotp, usedCodes, tickets, mails, events }: StoredAccount): Record<string, Counts> {
  const registrations = sum(events, 'ACCOUNT_REGISTERED', 'REGISTRATION_OF_EXISTING');
  return {
    account: { one: 1, ACCOUNT_REGISTERED: sum(events, 'ACCOUNT_REGISTERED') },
    registration: { events: registrations, tickets: sum(tickets, 'verify-email'), mails: sum(mails, 'verify-email', 'account-exists') },
    verification: { verified: isVerified ? 1 : 0, EMAIL_VERIFIED: sum(events, 'EMAIL_VERIFIED') },
    'change of password': { PASSWORD_CHANGED: sum(events, 'PASSWORD_CHANGED'), mails: sum(mails, 'password-changed') },
    'reset of password': { PASSWORD_RESET: sum(events, 'PASSWORD_RESET'), mails: sum(mails, 'password-reset') },
    'reset link': {
      PASSWORD_RESET_REQUESTED: sum(events, 'PASSWORD_RESET_REQUESTED'),
      tickets: sum(tickets, 'reset-password'),
      mails: sum(mails, 'reset-password'),
    },
    app: { active: activeTotp, FACTOR_ENROLLED: sum(events, 'FACTOR_ENROLLED'), mails: sum(mails, 'factor-enrolled') },
    'recovery code': { used: usedCodes, RECOVERY_CODE_USED: sum(events, 'RECOVERY_CODE_USED'), mails: sum(mails, 'recovery-code-used') },
  };
}

export function sum(counts: Counts, ...names: string[]): number {
  return names.reduce((all, name) => all + (counts[name] ?? 0), 0);
}

const told = (counts: Counts) =>
  Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');

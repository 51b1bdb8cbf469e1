import { parseArgs } from 'node:util';
import type { RemovedAuthenticators } from '#application/ports/authenticators.ts';
import { removeFactors } from '#application/remove-factors.ts';
import { parseEmail } from '#domain/email.ts';
import { isRefusal } from '#domain/problems.ts';
import { type Output, UsageMistake } from './command.ts';
import { COMMAND_LINE, commandConfig, withServices } from './with-services.ts';

export const REMOVE_FACTORS_USAGE = 'latchkey users remove-factors --email E [--json]';

export const REMOVE_FACTORS_HELP = `remove-factors  takes every second factor away from one account, whose owner lost them or got one
        from a thief: authenticator app, phone, passkeys and recovery codes. Its sessions have ended, it stands in the audit trail
        and its owner is mailed.
        Be sure who asks: the password stays, and opens the account alone until another factor is enrolled. Where somebody else
        may know it, "latchkey users force-reset" first makes a new one needed. Who has none sets one by mail ("forgotten password").
        Give it the settings of the service, as for force-reset. It ends with 1 when nobody has the address`;

export async function removeFactorsOf(args: string[], out: Output): Promise<number> {
  const { values } = parseArgs({ args, options: { email: { type: 'string' }, json: { type: 'boolean' } } });
  const email = parseEmail(values.email ?? '');
  if (email === undefined) throw new UsageMistake('Give an --email.');
  commandConfig({ isMailing: true });
  const outcome = await withServices(out, (services) => removeFactors(services)(email, COMMAND_LINE));
  if (isRefusal(outcome)) throw new Error(outcome.detail ?? outcome.refused);
  const { accountId, email: address, removed, ended } = outcome;
  if (values.json) {
    const { totp = false, phone = false, passkeys = 0, recoveryCodes = 0 } = removed ?? {};
    const told = { id: accountId, email: address, totp, phone, passkeys, recovery_codes: recoveryCodes, sessions_ended: ended };
    out.print(JSON.stringify(told, null, 2));
  } else if (removed === null) {
    out.print(`Nothing to remove: ${address} has no second factor; what was begun of one is over.`);
  } else {
    out.print(`Removed from ${address}: ${namesOf(removed).join(', ')}; ${counted(ended, 'session')} ended.`);
  }
  return 0;
}

function namesOf({ totp, phone, passkeys, recoveryCodes }: RemovedAuthenticators): string[] {
  return [
    ...(totp ? ['authenticator app'] : []),
    ...(passkeys > 0 ? [counted(passkeys, 'passkey')] : []),
    ...(phone ? ['phone'] : []),
    ...(recoveryCodes > 0 ? ['recovery codes'] : []),
  ];
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

import { type Refusal, refuse } from '#domain/problems.ts';
import type { LegacyTokens, Needs } from './ports/services.ts';
import type { Caller, Session } from './ports/sessions.ts';

/** No session has it. */
const NO_SESSION = '00000000-0000-0000-0000-000000000000';

/**
 * Whom an access token of the replaced service speaks for. It counts while nothing has happened here that ends sessions (a new password,
 * a second factor, "end all sessions", a suspension): over there nobody would have heard of it.
 * @param onUse is told of each that counts @returns null for one that does not
 * @throws DependencyDown when the old issuer's keys, or the store, cannot be asked
 */
export function legacyCaller({ store, clock }: Needs<'store' | 'clock'>, tokens: LegacyTokens, onUse: () => void) {
  return async (token: string): Promise<Caller | Refusal<'account-suspended'> | null> => {
    const now = clock.now();
    const subject = await tokens.verify(token, now);
    if (subject === null) return null;
    const found = await store.read((records) => records.accounts.findImported(subject.accountId, subject.email));
    if (found === null || found.account.status === 'deleted') return null;
    if (found.account.status === 'suspended') return refuse('account-suspended');
    if (!found.isUntouched) return null;
    onUse();
    return { account: found.account, session: standIn(found.account.id, now) };
  };
}

/** In place of a session, for routes that read: it is worth what a password is, proved nothing here, and nothing can be done to it. */
function standIn(accountId: string, now: Date): Session {
  return {
    id: NO_SESSION,
    accountId,
    transport: 'bearer',
    device: null,
    deviceId: null,
    deviceKind: null,
    movedTo: [],
    cookieHash: null,
    ip: '',
    userAgent: null,
    amr: [],
    acr: 'aal1',
    authTime: new Date(0),
    createdAt: now,
    lastSeenAt: now,
    idleEndAt: now,
    absoluteEndAt: now,
  };
}

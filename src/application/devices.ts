import type { Client } from '#domain/client.ts';
import { deviceKind } from '#domain/device.ts';
import { after, REPORT_SIGN_IN_TTL_SECONDS } from '#domain/lifetimes.ts';
import { networkOf } from '#domain/network.ts';
import { mails } from './mails.ts';
import type { DeviceNote, DeviceSighting, KnownDevice } from './ports/devices.ts';
import type { OutboxMessage } from './ports/outbox.ts';
import type { Needs } from './ports/services.ts';
import type { Writes } from './ports/store.ts';
import type { IssuedTicket } from './ports/tickets.ts';

/** What a client shows of its device before anybody knows who it is. */
export function sightingOf({ secrets }: Needs<'secrets'>, { ip, userAgent, deviceToken }: Client): DeviceSighting {
  const tokenHash = deviceToken === null ? null : secrets.ticketHash(deviceToken);
  return { tokenHash, kind: deviceKind(userAgent), network: networkOf(ip) };
}

/** The device of a sign-in: what is to be stored, what its browser keeps from now on, and a mail if nobody has seen it before. */
export type DeviceAtSignIn = {
  note: DeviceNote;
  cookie: string;
  isNew: boolean;
  notice: { ticket: IssuedTicket; mail: OutboxMessage } | null;
};

/**
 * A device that shows a cookie of this account keeps it. Any other gets a fresh one: a planted value is never taken over. Where
 * the account had devices before and this is none of them, its owner is told, with a way to say "this was not me". The first
 * sign-in of an account tells nobody.
 * @param isTold the sign-in is risky: its owner is told on whatever device it is, unless that shows its cookie
 */
export function deviceAtSignIn(
  needs: Needs<'secrets' | 'courier' | 'policy'>,
  accountId: string,
  client: Client,
  known: KnownDevice,
  at: Date,
  { isTold }: { isTold: boolean },
): DeviceAtSignIn {
  const { secrets } = needs;
  const sighting = sightingOf(needs, client);
  if (known.by === 'cookie' && client.deviceToken !== null && sighting.tokenHash !== null) {
    const note = { ...sighting, id: known.id, tokenHash: sighting.tokenHash, replaces: null, isConfirmed: true };
    return { note, cookie: client.deviceToken, isNew: false, notice: null };
  }
  const { token: cookie, hash } = secrets.ticket();
  // A client that keeps no cookies is one row, not one for each sign-in.
  const id = known.by === 'traits' ? known.id : secrets.id();
  const note: DeviceNote = { ...sighting, id, tokenHash: hash, replaces: sighting.tokenHash, isConfirmed: false };
  const isNew = known.by === 'new' && known.hasOthers;
  if (!isNew && !isTold) return { note, cookie, isNew, notice: null };
  const { token, hash: secretHash } = secrets.ticket();
  const ticket: IssuedTicket = {
    id: secrets.id(),
    purpose: 'report-sign-in',
    accountId,
    secretHash,
    context: { deviceId: id },
    expiresAt: after(at, REPORT_SIGN_IN_TTL_SECONDS),
  };
  const mail = mails(needs).newDevice(token, { kind: sighting.kind, ip: client.ip }, at);
  return { note, cookie, isNew, notice: { ticket, mail } };
}

/** Stores what the device of a sign-in is now, in the transaction that opens the session. */
export async function noteDevice(tx: Writes, accountId: string, { note, notice }: DeviceAtSignIn, at: Date): Promise<void> {
  await tx.devices.note(accountId, note, at);
  if (notice === null) return;
  await tx.tickets.issue(notice.ticket, at);
  await tx.outbox.enqueue(accountId, notice.mail, at);
}

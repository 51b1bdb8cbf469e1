import { AUDIT_EVENTS, type AuditEvent } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { parseNetwork, writeNetwork } from '#domain/ip-blocks.ts';
import { isLocal, networkOf } from '#domain/network.ts';
import { BLOCK_SECONDS, networkScoreOf, RESPONSES, type Risk, type RiskRule, riskOf, scoreOf } from '#domain/risk.ts';
import { auditEvent } from './audit.ts';
import type { SignInSignals } from './ports/hot-paths.ts';
import type { Needs } from './ports/services.ts';

/** The risk of a step of a sign-in by what its look-up found. */
export function riskOfSignIn(
  { device, signals }: SignInSignals,
  { ip }: Client,
  { failuresBefore, isHoneypotFilled = false, before = [] }: { failuresBefore: number; isHoneypotFilled?: boolean; before?: RiskRule[] },
): Risk {
  const hasDevices = device.by !== 'new' || device.hasOthers;
  const isOfTheHouse = isLocal(networkOf(ip));
  const known = {
    ...signals,
    accountsFromNetwork: isOfTheHouse ? 0 : signals.accountsFromNetwork,
    recentNetworks: isOfTheHouse ? 0 : signals.recentNetworks,
    failuresBefore,
    isHoneypotFilled,
    isNewDevice: hasDevices && device.by === 'new',
    isNewNetwork: hasDevices && device.by !== 'cookie' && !signals.isKnownNetwork,
  };
  return riskOf(known, before);
}

/** What follows from the risk of a sign-in that succeeds. */
export function responsesTo({ points }: Risk): { isTold: boolean; stepsUp: boolean } {
  return { isTold: points >= RESPONSES.mail.from, stepsUp: points >= RESPONSES.stepUp.from };
}

/** The event with its score, and the rules that made it. */
export function weighed<Event extends AuditEvent>(event: Event, risk: Risk): Event {
  if (risk.rules.length === 0) return event;
  return { ...event, risk: scoreOf(event.risk, risk), details: { ...event.details, rules: risk.rules } };
}

/**
 * Blocks the network of a failed sign-in for a while when its score asks for it. One block, one event, however many fail at once; a
 * block that is there already is left as it is.
 */
export async function blockIfRisky(
  { store, secrets }: Needs<'store' | 'secrets'>,
  failed: AuditEvent,
  client: Client,
  at: Date,
): Promise<void> {
  const network = parseNetwork(networkOf(client.ip));
  const rules = Array.isArray(failed.details['rules']) ? failed.details['rules'].map(String) : [];
  const score = networkScoreOf(AUDIT_EVENTS[failed.type].risk, rules);
  if (score < RESPONSES.block.from || typeof network === 'string' || isLocal(networkOf(client.ip))) return;
  const block = { id: secrets.id(), network: writeNetwork(network), reason: 'Too many wrong sign-ins', createdBy: null, createdAt: at };
  await store.transaction(async (tx) => {
    const added = await tx.ipBlocks.add({ ...block, origin: 'automatic', endsAt: endOf(at) });
    if (typeof added === 'string' || added.id !== block.id) return;
    const details = { before: null, after: { id: added.id, network: added.network, reason: added.reason, origin: added.origin } };
    await tx.audit.record(auditEvent(secrets, 'IP_BLOCKED', client, at, { details }));
  });
}

/** On the minute: those who fail at once ask for one and the same block. */
function endOf(at: Date): Date {
  const minute = 60_000;
  return new Date(Math.ceil((at.getTime() + BLOCK_SECONDS * 1000) / minute) * minute);
}

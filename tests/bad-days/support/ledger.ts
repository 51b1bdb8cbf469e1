import type { Reply } from './client.ts';

/** What the crowd was told, kept outside of the service: what is stored and mailed is held against it afterwards. */

export type Operation =
  | 'register'
  | 'verify-email'
  | 'login'
  | 'verify-mfa'
  | 'refresh'
  | 'me'
  | 'change-password'
  | 'logout'
  | 'setup'
  | 'activate'
  | 'forgot-password'
  | 'reset-password';

/** in-doubt: no answer, or 503: it may have been done or not, but never by half. */
export type Outcome = 'done' | 'refused' | 'in-doubt';

export type Entry = {
  operation: Operation;
  email: string;
  outcome: Outcome;
  status: number;
  code: string;
  /** The replica that answered, where there are several. */
  by: string;
  sentAtMs: number;
  ms: number;
};

/** lost: its client does not know whether it lives, or has no token of it. */
export type SessionRecord = { id: string; refreshToken: string; accessToken: string; rotations: number; state: 'open' | 'ended' | 'lost' };

export type CodeRecord = { code: string; state: 'unused' | 'used' | 'in-doubt' };

export type PersonRecord = {
  email: string;
  /** The present one, or those that may be. */
  passwords: string[];
  registered: Outcome;
  verified: Outcome | 'not-yet';
  totp: Outcome | 'none';
  codes: CodeRecord[];
  sessions: SessionRecord[];
  /** How often each operation was done, and how often nobody knows. */
  counts: Partial<Record<Operation, { done: number; inDoubt: number }>>;
};

export type Ledger = {
  people: PersonRecord[];
  entries: Entry[];
  /** Links that were promised by an answer and had not come when their time was up, and how many others had come before. */
  awaited: { email: string; page: 'verify-email' | 'reset-password'; seen: number }[];
  /** Answers that nobody should have got. */
  complaints: string[];
};

export function newLedger(): Ledger {
  return { people: [], entries: [], awaited: [], complaints: [] };
}

export function newPerson(email: string, password: string): PersonRecord {
  return {
    email,
    passwords: [password],
    registered: 'in-doubt',
    verified: 'not-yet',
    totp: 'none',
    codes: [],
    sessions: [],
    counts: {},
  };
}

export function outcomeOf({ status }: Pick<Reply, 'status'>): Outcome {
  if (status >= 200 && status < 300) return 'done';
  return status === 0 || status === 503 ? 'in-doubt' : 'refused';
}

/** Writes an answer down. @returns what it means */
export function enter(ledger: Ledger, operation: Operation, person: PersonRecord, reply: Reply, sentAtMs: number): Outcome {
  const outcome = outcomeOf(reply);
  const { status, code, by, ms } = reply;
  ledger.entries.push({ operation, email: person.email, outcome, status, code, by, sentAtMs, ms });
  const { done = 0, inDoubt = 0 } = person.counts[operation] ?? {};
  person.counts[operation] = { done: done + Number(outcome === 'done'), inDoubt: inDoubt + Number(outcome === 'in-doubt') };
  if (reply.code === 'hang') ledger.complaints.push(`${operation} of ${person.email} was never answered`);
  return outcome;
}

/** How many answers there were of each kind, for whoever reads the run. */
export function summary({ entries, people }: Ledger): string {
  const counts: Record<string, number> = {};
  for (const { outcome, status, code } of entries) {
    const kind = outcome === 'done' ? outcome : `${status} ${code}`.trim();
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  const told = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`);
  return `${people.length} people, ${entries.length} requests: ${told.join(', ')}`;
}

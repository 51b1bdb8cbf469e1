import { describe, expect, it } from 'vitest';
import { latchkey } from '#cli/latchkey.ts';
import { after } from '#domain/lifetimes.ts';
import { openedForTests } from '#tests/adapters/postgres/opened.ts';
import { account, mail } from '#tests/adapters/postgres/records.ts';
import { settingsFor } from '#tests/support/database.ts';

const here = openedForTests();

async function run(...args: string[]): Promise<{ code: number; printed: string[]; complained: string[] }> {
  const [printed, complained]: string[][] = [[], []];
  const before = { ...process.env };
  const settings = settingsFor(here.address);
  Object.assign(process.env, settings);
  try {
    const out = { print: (line: string) => void printed?.push(line), complain: (line: string) => void complained?.push(line) };
    return { code: await latchkey(['outbox', ...args], out), printed: printed ?? [], complained: complained ?? [] };
  } finally {
    for (const name of Object.keys(settings)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
}

/** A message that waits, one that was sent, and one that was refused for good. */
async function three() {
  const at = new Date();
  const owner = await account(here.sql, at);
  const messages = [mail(at), mail(at), mail(at)];
  for (const [i, message] of messages.entries()) {
    await here.store.transaction((tx) => tx.outbox.enqueue(owner.id, message, after(at, i - 10)));
  }
  const [dead, sent, waiting] = messages.map(({ id }) => id);
  await here.outbox.claim({ email: 2, sms: 0 }, after(at, 60), at);
  await here.outbox.markFailed(
    { id: dead ?? '', attempts: 1 },
    { kind: 'bounced', reason: 'no\nsuch user', replyCode: '550 5.1.1' },
    null,
    at,
  );
  await here.outbox.markSent(sent ?? '', 'provider-1', at);
  return { dead, sent, waiting, to: owner.email.given };
}

describe('latchkey outbox', () => {
  it('lists what waits, died and was sent, for people and for programs, and nothing that a message says', async () => {
    const { dead, sent, waiting, to } = await three();
    const { code, printed } = await run('list', '--json');
    const listed = JSON.parse(printed.join('\n'));
    expect(code).toBe(0);
    expect(listed).toMatchObject([
      { id: waiting, state: 'waiting', attempts: 0, replayable: false },
      { id: sent, state: 'sent', provider_id: 'provider-1', replayable: false },
      { id: dead, state: 'dead', failure: 'bounced', reply_code: '550 5.1.1', recipient: to, replayable: true },
    ]);
    expect(printed.join()).not.toContain('sealed');
    const people = await run('list', '--state', 'dead');
    expect(people.printed).toHaveLength(2);
    expect(people.printed[1]).toContain('bounced: 550 5.1.1: no such user');
    expect((await run('list', '--limit', '1', '--json')).printed.join('\n').match(/"id"/g)).toHaveLength(1);
  });

  it('replays a dead letter by its ID, once, and says which it cannot', async () => {
    const { dead = '', sent = '' } = await three();
    expect(await run('replay', dead, sent)).toMatchObject({
      code: 1,
      printed: ['1 put back in the queue'],
      complained: [`${sent} is no dead letter that can still be read`],
    });
    expect(await here.outbox.claim({ email: 10, sms: 0 }, after(new Date(), 60), new Date())).toHaveLength(2); // it, and the one that waited
    expect((await run('replay', dead)).code).toBe(1);
  });

  it('replays all of them', async () => {
    await three();
    expect(await run('replay', '--all')).toMatchObject({ code: 0, printed: ['1 put back in the queue'] });
    expect(await run('replay', '--all')).toMatchObject({ code: 0, printed: ['0 put back in the queue'] });
  });

  it('complains of words that it does not know', async () => {
    for (const words of [
      [],
      ['drop'],
      ['list', '--state', 'lost'],
      ['list', '--limit', '0'],
      ['replay'],
      ['replay', 'x'],
      ['replay', '--all', 'x'],
    ]) {
      expect((await run(...words)).code, words.join(' ')).toBe(2);
    }
  });
});

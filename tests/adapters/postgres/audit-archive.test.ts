import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ArchiveAudit, archiveAudit } from '#application/archive-audit.ts';
import { filesOf } from '#application/audit-manifest.ts';
import type { ArchiveStore, AuditTrail } from '#application/ports/audit-trail.ts';
import { restoreAudit } from '#application/restore-audit.ts';
import { verifyArchive } from '#application/verify-archive.ts';
import { verifyTrail } from '#application/verify-trail.ts';
import { archiveStore } from '#infrastructure/archive/archive-store.ts';
import { folderFiles } from '#infrastructure/archive/folder.ts';
import { restoredTable } from '#infrastructure/postgres/restored-audit.ts';
import { addEvents, asOwner, chain, trailOn } from '#tests/support/audit.ts';
import { until } from '#tests/support/until.ts';
import { openedForTests } from './opened.ts';

const here = openedForTests();
const OLD = '2026-03';
const IN_OLD = new Date('2026-03-15T12:00:00Z');
const NOW = new Date('2026-11-21T12:00:00Z');

let folder = '';
let store: ArchiveStore;
beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'latchkey-archive-'));
  store = archiveStore(folderFiles(folder));
  await here.sql`select audit_make_month(${OLD})`;
});
afterEach(async () => {
  rmSync(folder, { recursive: true, force: true });
  await here.sql`drop table if exists audit_restored_2026_03`;
});

const parts = (more: Partial<ArchiveAudit> = {}) => {
  const { trail, seal, sealAll } = trailOn(here.database, here.sql, () => NOW);
  const needs = { trail, store, chain, clock: { now: () => NOW }, madeBy: 'a test', seal, pause: async () => {}, ...more };
  return { trail, sealAll, ...archiveAudit(needs) };
};
const verifyLive = () => verifyTrail({ trail: parts().trail, chain })();
const verifyFiles = () => verifyArchive({ store, chain })(OLD);
const restore = () => restoreAudit({ store, chain, restored: restoredTable(here.database) })(OLD);

/** A month of 2,500 events between others, sealed. @returns its ids in the order of sealing */
async function sealedMonth(): Promise<string[]> {
  const { sealAll } = parts();
  await addEvents(here.sql, 30);
  const first = await addEvents(here.sql, 1200, IN_OLD);
  await sealAll();
  await addEvents(here.sql, 30);
  const second = await addEvents(here.sql, 1300, IN_OLD);
  await sealAll();
  return [...first, ...second];
}

const liveOf = async (month: string) => {
  const [row] = await here.sql<
    { n: number }[]
  >`select count(*)::int as n from audit_events where to_char(occurred_at at time zone 'UTC', 'YYYY-MM') = ${month}`;
  return row?.n;
};

describe('an archived month', () => {
  it('leaves the live table, and both are proved', async () => {
    await sealedMonth();
    expect(await parts().due(90)).toEqual([OLD]);
    expect(await parts().archive(OLD)).toEqual({ month: OLD, events: 2500, state: 'archived' });
    expect(readdirSync(folder)).toEqual(Object.values(filesOf(OLD)).sort());
    expect(await liveOf(OLD)).toBe(0);
    expect(await parts().due(90)).toEqual([]);
    expect((await verifyFiles()).broken).toBeNull();
    expect(await verifyLive()).toMatchObject({ broken: null, sealed: 60 });
    await addEvents(here.sql, 5);
    await parts().sealAll();
    expect(await verifyLive()).toMatchObject({ broken: null, sealed: 65 });
  });

  it('is restored into a table of its own, and verifies there', async () => {
    await sealedMonth();
    const before = await here.sql`select * from audit_events_2026_03 order by position, id`;
    await parts().archive(OLD);
    expect(await restore()).toEqual({ table: 'audit_restored_2026_03', events: 2500 });
    const after = await here.sql`select * from audit_restored_2026_03 order by position, id`;
    expect(after).toEqual(before);
    expect(await liveOf(OLD)).toBe(0);
    expect(await restore()).toEqual({ exists: true });
  });

  it('has no table of its own until all of it is there: not after a load that was cut off, nor one whose process was killed', async () => {
    const tables = async () =>
      (await here.sql<{ name: string }[]>`select relname as name from pg_class where relname like 'audit_restored%' and relkind = 'r'`).map(
        ({ name }) => name,
      );
    await sealedMonth();
    await parts().archive(OLD);
    const restored = restoredTable(here.database);
    const dying = (discard: typeof restored.discard) => ({
      ...restored,
      discard,
      async add(table: string, lines: readonly string[]) {
        await restored.add(table, lines);
        throw new Error('cut off after the first thousand');
      },
    });
    const cutOff = (discard: typeof restored.discard) => restoreAudit({ store, chain, restored: dying(discard) })(OLD);
    await expect(cutOff(restored.discard)).rejects.toThrow('cut off');
    expect(await tables()).toEqual([]);
    await expect(cutOff(async () => {})).rejects.toThrow('cut off');
    expect(await tables()).toEqual(['audit_restored_2026_03_loading']);
    expect(await restore()).toEqual({ table: 'audit_restored_2026_03', events: 2500 });
    expect(await tables()).toEqual(['audit_restored_2026_03']);
  });

  it('may be the newest of all: the chain goes on behind it', async () => {
    await addEvents(here.sql, 1200, IN_OLD);
    await parts().sealAll();
    await parts().archive(OLD);
    expect(await verifyLive()).toMatchObject({ broken: null, sealed: 0, seals: 1, head: { number: 2 } });
    await addEvents(here.sql, 5);
    await parts().sealAll();
    await parts().tidy();
    expect(await verifyLive()).toMatchObject({ broken: null, sealed: 5, seals: 1, head: { number: 3 } });
    await asOwner(here.sql, (tx) => tx`delete from audit_archives`);
    expect((await verifyLive()).broken).toMatchObject({ what: 'seal-missing', seal: 1 });
  });

  it('may be empty', async () => {
    expect(await parts().archive(OLD)).toEqual({ month: OLD, events: 0, state: 'archived' });
    expect((await verifyFiles()).broken).toBeNull();
    expect((await verifyLive()).broken).toBeNull();
    expect(await restore()).toEqual({ table: 'audit_restored_2026_03', events: 0 });
  });

  const edit = (name: string, change: (text: string) => string) => {
    const file = path.join(folder, name);
    writeFileSync(file, gzipSync(change(gunzipSync(readFileSync(file)).toString())));
  };
  const lines = (change: (lines: string[]) => string[]) => (text: string) => `${change(text.trimEnd().split('\n')).join('\n')}\n`;

  it('[V16.4.2] names the first of its events that was changed, deleted, added or moved', async () => {
    const ids = await sealedMonth();
    await parts().archive(OLD);
    const { events } = filesOf(OLD);
    const good = readFileSync(path.join(folder, events));
    const tampered = async (change: (lines: string[]) => string[]) => {
      edit(events, lines(change));
      const { broken } = await verifyFiles();
      expect(await restore()).toEqual({ broken });
      writeFileSync(path.join(folder, events), good);
      return broken;
    };
    const [at, id] = [1700, ids[1700]];
    expect(await tampered((all) => all.with(at, all[at]?.replace('"risk":20', '"risk":0') ?? ''))).toMatchObject({ what: 'changed', id });
    expect(await tampered((all) => all.toSpliced(at, 1))).toMatchObject({ what: 'deleted', id });
    expect(await tampered((all) => all.toSpliced(-1, 1))).toMatchObject({ what: 'deleted', id: ids.at(-1) });
    const added = '{"id":"00000000-0000-7000-8000-000000000000","position":1,"occurred_at":"2026-03-01T00:00:00.000Z"}';
    expect(await tampered((all) => [added, ...all])).toMatchObject({ what: 'inserted' });
    expect(await tampered((all) => [...all, all.at(-1)?.replace(/^{"id":"./, '{"id":"f') ?? ''])).toMatchObject({ what: 'inserted' });
    expect(await tampered((all) => all.with(3, all[4] ?? '').with(4, all[3] ?? ''))).toMatchObject({ what: 'changed', id: ids[4] });
    expect(await tampered((all) => all.with(5, 'nonsense'))).toMatchObject({ what: 'archive-changed' });
    const flood = (line: string) => Array.from({ length: 20_000 }, () => line); // more than are held in memory
    expect(await tampered((all) => [...flood(added), ...all])).toMatchObject({ what: 'inserted', id: added.slice(7, 43) });
    expect(await tampered((all) => [...flood(all[0] ?? ''), ...all])).toMatchObject({ what: 'inserted', id: ids[0] });
    const elsewhere = added.replace('2026-03', '2026-02'); // no seal of this archive claims any of these
    expect(await tampered((all) => [...flood(elsewhere), ...all])).toMatchObject({ what: 'inserted', month: '2026-02' });
    expect((await verifyFiles()).broken).toBeNull();
  });

  it('notices files that were cut off, exchanged or removed, and a manifest that was changed', async () => {
    await sealedMonth();
    await parts().archive(OLD);
    const { events, seals, manifest } = filesOf(OLD);
    const why: string[] = [];
    const spoil = async (name: string, change: () => void) => {
      const good = readFileSync(path.join(folder, name));
      change();
      const { broken } = await verifyFiles();
      writeFileSync(path.join(folder, name), good);
      if (broken && 'why' in broken) why.push(broken.why);
      return broken?.what;
    };
    const whole = readFileSync(path.join(folder, events));
    expect(await spoil(events, () => writeFileSync(path.join(folder, events), whole.subarray(0, whole.length / 2)))).toBe(
      'archive-changed',
    );
    expect(await spoil(events, () => writeFileSync(path.join(folder, events), 'no gzip at all'))).toBe('archive-changed');
    expect(await spoil(events, () => rmSync(path.join(folder, events)))).toBe('archive-changed');
    expect(await spoil(events, () => edit(events, (text) => text))).toBe(undefined); // gzip gives the same bytes
    expect(
      await spoil(seals, () =>
        edit(
          seals,
          lines((all) => all.slice(0, -1)),
        ),
      ),
    ).toBe('seal-missing');
    expect(
      await spoil(seals, () =>
        edit(
          seals,
          lines((all) => all.slice(1)),
        ),
      ),
    ).toBe('seal-changed');
    const repacked = () => writeFileSync(path.join(folder, events), gzipSync(gunzipSync(whole), { level: 1 }));
    expect(await spoil(events, repacked)).toBe('archive-changed');
    expect(why.at(-1)).toContain('bytes is ');
    const counted = () =>
      writeFileSync(path.join(folder, manifest), readFileSync(path.join(folder, manifest), 'utf8').replace('2500', '2499'));
    expect(await spoil(manifest, counted)).toBe('archive-changed');
    expect(await spoil(manifest, () => writeFileSync(path.join(folder, manifest), '{}'))).toBe('archive-changed');
    expect((await verifyFiles()).broken).toBeNull();
  });
});

describe('archiving', () => {
  it('keeps a month that is broken, and names the event', async () => {
    const ids = await sealedMonth();
    await asOwner(here.sql, (tx) => tx`update audit_events set risk = 0 where id = ${ids[7] ?? ''}`);
    await expect(parts().archive(OLD)).rejects.toMatchObject({ broken: { what: 'changed', id: ids[7] } });
    expect(await liveOf(OLD)).toBe(2500);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('keeps a month of which something was written after it was archived', async () => {
    await sealedMonth();
    const { trail } = parts();
    await expect(parts({ trail: { ...trail, dropMonth: killed } }).archive(OLD)).rejects.toThrow('killed');
    await addEvents(here.sql, 1, IN_OLD);
    await expect(parts().archive(OLD)).rejects.toMatchObject({ code: '23000' });
    expect(await liveOf(OLD)).toBe(2501);
  });

  const killed = async () => Promise.reject(new Error('killed'));
  const deaths: [string, (trail: AuditTrail) => Partial<ArchiveAudit>][] = [
    ['while it wrote the events', () => ({ store: { ...store, write: (name, lines) => store.write(name, dying(lines)) } })],
    [
      'before it wrote the seals',
      () => ({ store: { ...store, write: (name, lines) => (name.includes('seals') ? killed() : store.write(name, lines)) } }),
    ],
    ['before it wrote the manifest', () => ({ store: { ...store, writeText: killed } })],
    ['before it was on record', (trail) => ({ trail: { ...trail, recordArchive: killed } })],
    ['before it dropped the month', (trail) => ({ trail: { ...trail, dropMonth: killed } })],
    ['before the seals went', (trail) => ({ trail: { ...trail, forgetSeals: killed } })],
  ];
  it.each(deaths)('that died %s is taken up by the next run, and nothing is lost', async (_, dies) => {
    await sealedMonth();
    const dead = parts(dies(parts().trail));
    await expect(dead.archive(OLD)).rejects.toThrow('killed');
    expect((await verifyLive()).broken).toBeNull();
    for (const month of await parts().due(90)) await parts().archive(month);
    await parts().tidy();
    expect((await verifyFiles()).broken).toBeNull();
    expect(await verifyLive()).toMatchObject({ broken: null, sealed: 60 });
    expect(await restore()).toMatchObject({ events: 2500 });
    expect(readdirSync(folder)).toHaveLength(3);
  });

  it('does not keep writers waiting for a transaction that uses the table: it drops the month when that has ended', async () => {
    await sealedMonth();
    await here.sql.begin(async (tx) => {
      await addEvents(tx, 1);
      let slowestMs = 0;
      const writing = { isOver: false };
      const writer = (async () => {
        while (!writing.isOver) {
          const startedMs = performance.now();
          await addEvents(here.sql, 1);
          slowestMs = Math.max(slowestMs, performance.now() - startedMs);
        }
      })();
      expect(await parts({ seal: async () => ({ more: false }) }).archive(OLD)).toMatchObject({ state: 'busy' });
      writing.isOver = true;
      await writer;
      expect(slowestMs).toBeLessThan(1000);
      expect(await liveOf(OLD)).toBe(2500);
    });
    expect(await parts().archive(OLD)).toMatchObject({ state: 'archived' });
    expect((await verifyLive()).broken).toBeNull();
  });

  it('waits for a transaction that may still add to the month', async () => {
    await sealedMonth();
    await here.sql.begin(async (tx) => {
      await addEvents(tx, 1, IN_OLD);
      await addEvents(here.sql, 1, IN_OLD);
      await expect(parts().archive(OLD)).rejects.toThrow('cannot be sealed yet');
    });
    await parts().sealAll();
    expect(await parts().archive(OLD)).toMatchObject({ events: 2502, state: 'archived' });
  });

  it('is proved while the service writes, seals and archives', async () => {
    await sealedMonth();
    const archiving = parts().archive(OLD);
    const verdicts = [];
    for (let time = 0; time < 10; time++) verdicts.push((await verifyLive()).broken);
    await archiving;
    expect(verdicts.filter((broken) => broken !== null)).toEqual([]);
  });
});

describe('the database', () => {
  it('drops no month that is young, nor one that was not archived', async () => {
    const young = NOW.toISOString().slice(0, 7);
    await here.sql`insert into audit_archives (month, location, manifest, archived_at) values (${young}, 'x', 'x', now())`;
    for (const month of [young, OLD])
      await expect(here.sql`select audit_drop_month(${month}, 0, ${crypto.randomUUID()})`).rejects.toMatchObject({ code: '42501' });
  });

  it('shows an archive on record that is not ours', async () => {
    await sealedMonth();
    await here.sql`insert into audit_archives (month, location, manifest, archived_at) values (${OLD}, 'x', '{}', now())`;
    await here.sql`select audit_drop_month(${OLD}, ${Number.MAX_SAFE_INTEGER}, ${crypto.randomUUID()})`;
    await until('the month is gone', async () => (await liveOf(OLD)) === 0);
    expect((await verifyLive()).broken).toMatchObject({ what: 'archive-changed', month: OLD });
  });
});

async function* dying(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let count = 0;
  for await (const line of lines) {
    if (count++ === 1500) throw new Error('killed');
    yield line;
  }
}

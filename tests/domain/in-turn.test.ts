import { describe, expect, it } from 'vitest';
import { inTurn } from '#application/in-turn.ts';
import { DependencyDown } from '#application/ports/errors.ts';

/** Work that ends when it is told to. */
function held() {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { end, work: () => ended };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('work in turn', () => {
  it('runs so many of one key at once, the others after them in their order, and those of other keys meanwhile', async () => {
    const run = inTurn(2);
    const begun: string[] = [];
    const tasks = ['a1', 'a2', 'a3', 'a4', 'b1'].map((name) => ({ name, ...held() }));
    const all = tasks.map(({ name, work }) =>
      run(name.slice(0, 1), async () => {
        begun.push(name);
        await work();
      }),
    );
    await settled();
    expect(begun).toEqual(['a1', 'a2', 'b1']);
    tasks[1]?.end();
    await settled();
    expect(begun).toEqual(['a1', 'a2', 'b1', 'a3']);
    for (const { end } of tasks) end();
    await Promise.all(all);
    expect(begun).toEqual(['a1', 'a2', 'b1', 'a3', 'a4']);
  });

  it('goes on when a piece fails, and tells its own caller alone', async () => {
    const run = inTurn(1);
    const failing = run('a', () => Promise.reject(new Error('mine')));
    const next = run('a', async () => 'done');
    await expect(failing).rejects.toThrow('mine');
    expect(await next).toBe('done');
  });

  it('lets nobody wait for a dependency that has just turned out to be down', async () => {
    const run = inTurn(1);
    const down = new DependencyDown('postgres');
    const begun: string[] = [];
    const answers = await Promise.allSettled(
      ['first', 'second', 'third'].map((name) =>
        run('a', async () => {
          begun.push(name);
          throw down;
        }),
      ),
    );
    expect(answers.map((answer) => answer.status === 'rejected' && answer.reason)).toEqual([down, down, down]);
    expect(begun).toEqual(['first']);
    expect(await run('a', async () => 'done')).toBe('done');
  });

  it('[V15.2.2] sheds what comes when too many wait', async () => {
    const run = inTurn(1);
    const first = held();
    const running = run('a', first.work);
    const waiting = Array.from({ length: 1024 }, () => run('a', async () => 'done'));
    await expect(run('a', async () => 'done')).rejects.toThrow();
    expect(await run('b', async () => 'done')).toBe('done');
    first.end();
    await running;
    expect(await Promise.all(waiting)).toHaveLength(1024);
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ending, takeEach } from '#src/ending.ts';

const LONGEST_MS = 35_000;

describe('the end of the process', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const watched = (stop: () => Promise<void>) => {
    const codes: number[] = [];
    const told: string[] = [];
    const end = ending({
      stop,
      longestMs: () => LONGEST_MS,
      onError: (error) => void told.push(String(error)),
      exit: (code) => void codes.push(code),
    });
    return { end, codes, told };
  };

  it('has the code that it was asked for, once all has stopped', async () => {
    const { end, codes, told } = watched(async () => {});
    await end(0);
    vi.advanceTimersByTime(LONGEST_MS);
    expect({ codes, told }).toEqual({ codes: [0], told: [] });
  });

  it('comes, as a failure, when stopping failed', async () => {
    const { end, codes, told } = watched(() => Promise.reject(new Error('stuck')));
    await end(0);
    expect({ codes, told }).toEqual({ codes: [1], told: ['Error: stuck'] });
  });

  it('comes, as a failure, when stopping never ends', () => {
    const { end, codes, told } = watched(() => new Promise(() => {}));
    void end(0);
    vi.advanceTimersByTime(LONGEST_MS - 1);
    expect(codes).toEqual([]);
    vi.advanceTimersByTime(1);
    expect({ codes, told }).toEqual({ codes: [1], told: ['Error: what runs does not stop in time'] });
  });

  it('is one, and a failure when one came in between', async () => {
    const stopped = Promise.withResolvers<void>();
    const { end, codes } = watched(() => stopped.promise);
    const ended = end(0);
    await end(1);
    await end(0);
    expect(codes).toEqual([]);
    stopped.resolve();
    await ended;
    expect(codes).toEqual([1]);
  });
});

describe('steps of which each is taken', () => {
  const taken: number[] = [];
  beforeEach(() => void taken.splice(0));
  const step = (number: number) => async () => void taken.push(number);
  const failing = (number: number) => () => {
    taken.push(number);
    throw new Error(`failure ${number}`);
  };

  it('are taken in their order, though some fail, and all that failed is told', async () => {
    await expect(takeEach([step(1), failing(2), step(3)])).rejects.toThrow('failure 2');
    expect(taken).toEqual([1, 2, 3]);
    await expect(takeEach([failing(4), step(5), failing(6)])).rejects.toMatchObject({
      message: 'failure 4; failure 6',
      errors: [new Error('failure 4'), new Error('failure 6')],
    });
    expect(taken).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

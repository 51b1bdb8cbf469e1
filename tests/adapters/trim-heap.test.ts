import { expect, it } from 'vitest';
import { trimHeap } from '#src/trim-heap.ts';

it('what nobody holds any more is gone at once, and nobody else is handed the collector', async () => {
  const left = new WeakRef(new Array(100_000).fill('left behind'));
  await new Promise(setImmediate); // a WeakRef holds on until the job that made it has ended
  trimHeap();
  expect(left.deref()).toBeUndefined();
  expect(globalThis).not.toHaveProperty('gc');
});

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * Gives back what a start leaves behind, as texts of modules and the making of routes and schemas: V8 would keep it for as long as the heap
 * does not grow (docs/performance.md). It stops the process for some tenths of a second at most: once, before anybody can ask.
 */
export function trimHeap(): void {
  setFlagsFromString('--expose-gc');
  const collect: Collect = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

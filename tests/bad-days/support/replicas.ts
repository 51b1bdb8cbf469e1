import { freePort } from '#tests/support/free-port.ts';
import type { ServiceProcess } from '#tests/support/process.ts';
import { until } from '#tests/support/until.ts';
import { balancer, type WhenNoneIsReady } from './balancer.ts';

/** Two processes of the service on the same servers, and the balancer in front of them. */
export type Replicas = {
  /** The balancer's. */
  origin: string;
  /** Theirs: the same after a restart. */
  origins: readonly string[];
  each: ServiceProcess[];
  /** All get requests. @throws when it takes longer than this */
  areReady(seconds?: number): Promise<unknown>;
  /** This one has a request that it has not answered. */
  isAsked(index: number): Promise<unknown>;
  /** Starts it where it was, once it has ended. */
  startAgain(index: number): Promise<void>;
  close(): Promise<void>;
};

/** @param start one at this port */
export async function twoReplicas(start: (port: number) => Promise<ServiceProcess>, whenNoneIsReady: WhenNoneIsReady): Promise<Replicas> {
  const ports = [await freePort(), await freePort()];
  const each = await Promise.all(ports.map(start));
  const origins = each.map(({ origin }) => origin);
  const between = await balancer(origins, whenNoneIsReady);
  return {
    origin: between.origin,
    origins,
    each,
    areReady: (seconds) => between.isWhole(seconds),
    isAsked: (index) => until('a request is under way', () => between.underWay(origins[index] ?? '') > 0),
    async startAgain(index) {
      each[index] = await start(ports[index] ?? 0);
    },
    close: () => between.close(),
  };
}

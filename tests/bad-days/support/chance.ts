/** Chance that comes again with its seed (mulberry32): a drill that failed can be run once more. */
export type Chance = {
  /** In [0, 1). */
  number(): number;
  between(least: number, most: number): number;
  /** One of these, as often as their weights say. */
  pick<T>(choices: readonly (readonly [weight: number, choice: T])[]): T;
};

export function chance(seed: number): Chance {
  let state = seed >>> 0;
  const number = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    number,
    between: (least, most) => least + number() * (most - least),
    pick(choices) {
      let left = number() * choices.reduce((sum, [weight]) => sum + weight, 0);
      for (const [weight, choice] of choices) {
        left -= weight;
        if (left < 0) return choice;
      }
      throw new RangeError('there is nothing to choose from');
    },
  };
}

/** BAD_DAYS_SEED runs a day again; else each day has its own. */
export function seedOfToday(): number {
  return Number(process.env['BAD_DAYS_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
}

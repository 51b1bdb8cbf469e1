import { type Config, ConfigMistakes, type Environment, loadConfig } from '../config.ts';
import { SETTINGS } from '../settings.ts';
import { readFromSsm } from '../ssm-settings.ts';
import { reasonOf } from './reason.ts';

export type Read = {
  /** With the defaults of development where a setting is wrong; null when even that is not to be had. */
  config: Config | null;
  mistakes: readonly string[];
  /** The names that were set, by themselves or as a file. */
  given: ReadonlySet<string>;
  /** Whether production was asked for, whatever `config` says. */
  isProduction: boolean;
};

/** Reads settings as the service would, SSM included; where it would not start, what is wrong is left out, so that the rest can be looked at. */
export async function readSettings(environment: Environment): Promise<Read> {
  const given = new Set(Object.keys(SETTINGS).filter((name) => environment[name] || environment[`${name}_FILE`]));
  const isProduction = environment['NODE_ENV'] === 'production';
  const { parameters, faults } = await readFromSsm(environment).then(
    (found) => ({ parameters: found, faults: [] }),
    (error) => ({ parameters: {}, faults: error instanceof ConfigMistakes ? error.mistakes : [`AWS_SSM_ENABLED: ${reasonOf(error)}`] }),
  );
  const all = { ...environment, ...parameters };
  try {
    return { config: loadConfig(all), mistakes: faults, given, isProduction };
  } catch (error) {
    if (!(error instanceof ConfigMistakes)) throw error;
    return { config: withoutMistakes(all), mistakes: [...new Set([...faults, ...error.mistakes])], given, isProduction };
  }
}

/** What production asks for beyond is not asked; what is wrong by itself is left out. */
function withoutMistakes(environment: Environment): Config | null {
  const rest: Environment = { ...environment, NODE_ENV: undefined };
  for (;;) {
    try {
      return loadConfig(rest);
    } catch (error) {
      if (!(error instanceof ConfigMistakes)) throw error;
      const wrong = error.mistakes.map((mistake) => (/^[A-Z0-9_]+/.exec(mistake)?.[0] ?? '').replace(/_FILE$/, ''));
      const there = wrong.flatMap((name) => [name, `${name}_FILE`]).filter((name) => rest[name] !== undefined);
      if (there.length === 0) return null;
      for (const name of there) rest[name] = undefined;
    }
  }
}

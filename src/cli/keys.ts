import { parseArgs } from 'node:util';
import { type KeyRing, rotated, secondsUntilRotatable } from '#domain/key-rotation.ts';
import { addKey, createKeyFolder, readKeyFolder, writeKeyRing } from '#infrastructure/crypto/key-folder.ts';
import { ALGORITHMS, type Algorithm } from '#infrastructure/crypto/signing-key.ts';
import { type Config, loadConfig } from '../config.ts';
import { type Command, type Output, table, UsageMistake } from './command.ts';

/** The signing keys in KEYS_DIR. Running services pick a change up by themselves within 10 seconds. */
export const keys: Command = {
  summary: 'list, make, rotate and retire signing keys',
  help: `Usage: latchkey keys list [--json]
       latchkey keys generate [--alg RS256|PS256|ES256|Ed25519] [--bits 2048|3072|4096]
       latchkey keys rotate [--now]
       latchkey keys retire KID

list      what each key in KEYS_DIR is for
generate  publishes a new next key in place of the present one
rotate    what was next signs, a new next is published, the old one verifies until its last token has expired;
          refused until verifiers had the time to see the next key, unless --now
retire    removes a key at once: its tokens fail. For a leak; the current key must be rotated away first

Examples:
  latchkey keys list
  latchkey keys generate --alg ES256 && sleep 600 && latchkey keys rotate`,

  async run(args, out) {
    const [verb, ...rest] = args;
    const config = loadConfig({ ...process.env, NODE_ENV: undefined }); // what production asks of a service, keys among it, is not asked here
    if (config.JWT_PRIVATE_KEY) throw new UsageMistake('The signing key comes from JWT_PRIVATE_KEY; there is no folder to change.');
    if (verb === 'list') return list(config, rest, out);
    if (verb === 'generate') return generate(config, rest, out);
    if (verb === 'rotate') return rotate(config, rest, out);
    if (verb === 'retire') return retire(config, rest, out);
    throw new UsageMistake(verb === undefined ? 'Say what to do with the keys.' : `keys cannot "${verb}".`);
  },
};

function list(config: Config, args: string[], out: Output): number {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean' } } });
  const { ring, keys: known } = readKeyFolder(config.KEYS_DIR);
  const entries = [
    { kid: ring.current.kid, state: 'current', until: null as Date | null },
    ...(ring.next ? [{ kid: ring.next.kid, state: 'next', until: null }] : []),
    ...ring.previous.map(({ kid, retireAt }) => ({ kid, state: 'previous', until: retireAt })),
  ].map((entry) => ({ ...entry, alg: known.get(entry.kid)?.alg ?? 'unknown' }));
  if (values.json)
    out.print(
      JSON.stringify(
        entries.map(({ until, ...entry }) => ({ ...entry, verifies_until: until })),
        null,
        2,
      ),
    );
  else {
    const rows = entries.map(({ kid, state, alg, until }) => [kid, state, alg, until?.toISOString() ?? '']);
    for (const line of table([['KID', 'STATE', 'ALG', 'VERIFIES UNTIL'], ...rows])) out.print(line);
  }
  return 0;
}

function generate(config: Config, args: string[], out: Output): number {
  const { values } = parseArgs({ args, options: { alg: { type: 'string' }, bits: { type: 'string' } } });
  const alg = algorithm(values.alg ?? config.JWT_ALGORITHM);
  const bits = values.bits ?? '2048';
  if (!['2048', '3072', '4096'].includes(bits)) throw new UsageMistake('--bits is 2048, 3072 or 4096.');
  const now = new Date();
  createKeyFolder(config.KEYS_DIR, alg, now);
  change(config, (ring) => {
    const kid = addKey(config.KEYS_DIR, alg, Number(bits));
    out.print(`${kid} (${alg}) is published as next`);
    return { ring: { ...ring, next: { kid, publishedAt: now } }, made: [[kid, alg]] };
  });
  return 0;
}

function rotate(config: Config, args: string[], out: Output): number {
  const { values } = parseArgs({ args, options: { now: { type: 'boolean' } } });
  const at = new Date();
  let isRotated = false;
  change(config, (ring, algorithms) => {
    const waitSeconds = secondsUntilRotatable(ring, at);
    if (waitSeconds > 0 && !values.now) {
      out.complain(
        `Verifiers may not have seen the next key yet: try again in ${waitSeconds} s, or give --now and lose their tokens meanwhile.`,
      );
      return { ring, made: [] };
    }
    const alg = algorithms.get(ring.next?.kid ?? ring.current.kid) ?? config.JWT_ALGORITHM;
    const kid = addKey(config.KEYS_DIR, alg);
    const next = rotated(ring, kid, config.policy.lifetimes.accessTokenSeconds, at);
    out.print(`${next.current.kid} signs; ${kid} is published as next`);
    isRotated = true;
    return { ring: next, made: [[kid, alg]] };
  });
  return isRotated ? 0 : 1;
}

function retire(config: Config, args: string[], out: Output): number {
  const { positionals } = parseArgs({ args, allowPositionals: true });
  const [kid] = positionals;
  if (kid === undefined || positionals.length > 1) throw new UsageMistake('Name one key by its KID.');
  change(config, (ring, algorithms) => {
    if (!algorithms.has(kid)) throw new Error(`There is no key ${kid} in ${config.KEYS_DIR}.`);
    if (ring.current.kid === kid) throw new Error('It is the key that signs: run "latchkey keys rotate --now" first.');
    const next = ring.next?.kid === kid ? null : ring.next;
    return { ring: { ...ring, next, previous: ring.previous.filter((previous) => previous.kid !== kid) }, made: [] };
  });
  out.print(`${kid} is gone; services stop accepting its tokens within 10 seconds`);
  return 0;
}

type Change = (ring: KeyRing, algorithms: ReadonlyMap<string, Algorithm>) => { ring: KeyRing; made: [string, Algorithm][] };

function change(config: Config, decide: Change): void {
  const { ring, keys: known } = readKeyFolder(config.KEYS_DIR);
  const algorithms = new Map([...known].map(([kid, { alg }]) => [kid, alg]));
  const decided = decide(ring, algorithms);
  if (decided.ring !== ring) writeKeyRing(config.KEYS_DIR, decided.ring, new Map([...algorithms, ...decided.made]));
}

function algorithm(name: string): Algorithm {
  const found = ALGORITHMS.find((alg) => alg === name);
  if (!found) throw new UsageMistake(`--alg is one of ${ALGORITHMS.join(', ')}.`);
  return found;
}

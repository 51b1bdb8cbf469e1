import { parseArgs } from 'node:util';
import type { Clock } from '#application/ports/services.ts';
import { type KeyRing, PUBLISH_LEAD_SECONDS, retired, rotated, secondsUntilRotatable } from '#domain/key-rotation.ts';
import { LONGEST_ACCESS_TOKEN_MINUTES } from '#domain/lifetimes.ts';
import { addKey, createKeyFolder, readKeyFolder, whileLocked, writeKeyRing } from '#infrastructure/crypto/key-folder.ts';
import { ALGORITHMS, type Algorithm } from '#infrastructure/crypto/signing-key.ts';
import { type Config, loadConfig } from '../config.ts';
import { askedOfSsm } from '../ssm-settings.ts';
import { type Command, type Output, table, UsageMistake } from './command.ts';

/** The signing keys in KEYS_DIR. Running services pick a change up by themselves, within a second where they share the folder. */
export const keys: Command = keysCommand({ now: () => new Date() });

export function keysCommand(clock: Clock): Command {
  return {
    summary: 'list, make, rotate and retire signing keys',
    help: `Usage: latchkey keys list [--json]
       latchkey keys generate [--alg RS256|PS256|ES256|Ed25519] [--bits 2048|3072|4096]
       latchkey keys rotate [--now]
       latchkey keys retire KID

list      what each key in KEYS_DIR is for
generate  publishes a new next key in place of the present one
rotate    what was next signs, a new next is published, the old one verifies until its last token has expired;
          refused until verifiers had the time to see the next key, unless --now
retire    removes a key at once, for a leak: its tokens fail, and nobody is signed out, because clients refresh them. In place of
          the one that signs, the next one does; a new next is published

Running services pick a change up within a second, and up to two minutes where the folder is a mounted Secret of Kubernetes.
Verifiers that keep the key set take a retired key's tokens until they ask again: ten minutes at most.

Examples:
  latchkey keys list
  latchkey keys generate --alg ES256 && sleep ${PUBLISH_LEAD_SECONDS} && latchkey keys rotate
  latchkey keys retire "$(latchkey keys list --json | jq -r '.[] | select(.state == "current").kid')"`,

    async run(args, out) {
      const [verb, ...rest] = args;
      const from = askedOfSsm(process.env).includes('JWT_PRIVATE_KEY') ? 'SSM (AWS_SSM_ENABLED)' : 'JWT_PRIVATE_KEY';
      const config = loadConfig({ ...process.env, NODE_ENV: undefined }); // what production asks of a service, keys among it, is not asked here
      if (config.JWT_PRIVATE_KEY || from !== 'JWT_PRIVATE_KEY')
        throw new UsageMistake(`The signing key comes from ${from}; there is no folder to change.`);
      if (verb === 'list') return list(config, rest, out);
      if (verb === 'generate') return generate(config, rest, clock.now(), out);
      if (verb === 'rotate') return rotate(config, rest, clock.now(), out);
      if (verb === 'retire') return retire(config, rest, clock.now(), out);
      throw new UsageMistake(verb === undefined ? 'Say what to do with the keys.' : `keys cannot "${verb}".`);
    },
  };
}

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

function generate(config: Config, args: string[], now: Date, out: Output): number {
  const { values } = parseArgs({ args, options: { alg: { type: 'string' }, bits: { type: 'string' } } });
  const alg = algorithm(values.alg ?? config.JWT_ALGORITHM);
  const bits = values.bits ?? '2048';
  if (!['2048', '3072', '4096'].includes(bits)) throw new UsageMistake('--bits is 2048, 3072 or 4096.');
  createKeyFolder(config.KEYS_DIR, alg, now);
  change(config, out, (ring) => {
    const kid = addKey(config.KEYS_DIR, alg, Number(bits));
    const lines = [`${kid} (${alg}) is published as next`];
    return { ring: { ...ring, next: { kid, publishedAt: now } }, made: [[kid, alg]], lines };
  });
  return 0;
}

function rotate(config: Config, args: string[], now: Date, out: Output): number {
  const { values } = parseArgs({ args, options: { now: { type: 'boolean' } } });
  const waitSeconds = secondsUntilRotatable(readKeyFolder(config.KEYS_DIR).ring, now);
  if (waitSeconds > 0 && !values.now) {
    out.complain(
      `Verifiers may not have seen the next key yet: try again in ${waitSeconds} s, or give --now and lose their tokens meanwhile.`,
    );
    return 1;
  }
  change(config, out, (ring, algorithms) => {
    if (secondsUntilRotatable(ring, now) > waitSeconds) throw new Error('Another command rotated the keys at this moment.');
    const alg = algorithms.get(ring.next?.kid ?? ring.current.kid) ?? config.JWT_ALGORITHM;
    const kid = addKey(config.KEYS_DIR, alg);
    const after = rotated(ring, kid, LONGEST_ACCESS_TOKEN_MINUTES * 60, now);
    const said = ring.next ? `${after.current.kid} signs` : 'There was no next key: rotate again when it may sign';
    return { ring: after, made: [[kid, alg]], lines: [`${said}; ${kid} is published as next`] };
  });
  return 0;
}

function retire(config: Config, args: string[], now: Date, out: Output): number {
  const kids = args[0] === '--' ? args.slice(1) : args; // no options here: one KID in 64 begins with a dash, being base64url
  const [kid] = kids;
  if (kid === undefined || kids.length > 1) throw new UsageMistake('Name one key by its KID.');
  let unseenSeconds = 0;
  change(config, out, (ring, algorithms) => {
    const alg = algorithms.get(kid);
    if (alg === undefined) throw new Error(`There is no key ${kid} in ${config.KEYS_DIR}.`);
    const made: [string, Algorithm][] = [];
    const fresh = () => {
      const freshKid = addKey(config.KEYS_DIR, alg);
      made.push([freshKid, alg]);
      return freshKid;
    };
    const after = retired(ring, kid, fresh, now);
    const isOther = after.current.kid !== ring.current.kid;
    if (isOther) unseenSeconds = ring.next === null ? PUBLISH_LEAD_SECONDS : secondsUntilRotatable(ring, now);
    const lines = [
      `${kid} is gone; services stop taking its tokens as soon as they see it`,
      ...(isOther ? [`${after.current.kid} signs`] : []),
      ...(made.length > 0 ? [`${after.next?.kid} is published as next`] : []),
    ];
    return { ring: after, made, lines };
  });
  if (unseenSeconds > 0)
    out.complain(`Verifiers that do not ask again for a key that they do not know refuse its tokens for up to ${unseenSeconds} s.`);
  return 0;
}

/** What becomes of the ring, the keys made for it, and what to say once it is written. */
type Changed = { ring: KeyRing; made: [string, Algorithm][]; lines: string[] };

function change(
  { KEYS_DIR: dir }: Config,
  out: Output,
  decide: (ring: KeyRing, algorithms: ReadonlyMap<string, Algorithm>) => Changed,
): void {
  whileLocked(dir, () => {
    const { ring, keys: known } = readKeyFolder(dir);
    const algorithms = new Map([...known].map(([kid, { alg }]) => [kid, alg]));
    const changed = decide(ring, algorithms);
    writeKeyRing(dir, changed.ring, new Map([...algorithms, ...changed.made]));
    for (const line of changed.lines) out.print(line);
  });
}

function algorithm(name: string): Algorithm {
  const found = ALGORITHMS.find((alg) => alg === name);
  if (!found) throw new UsageMistake(`--alg is one of ${ALGORITHMS.join(', ')}.`);
  return found;
}

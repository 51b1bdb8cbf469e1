import { fernetBox, newFernetKey, parseFernetKeys } from '#infrastructure/crypto/fernet.ts';
import { startEmbeddedPostgres } from '#infrastructure/embedded/embedded-postgres.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';
import { reencryptSecrets } from '#infrastructure/postgres/reencrypt-secrets.ts';
import { type Config, loadConfig } from '../config.ts';
import { type Command, type Output, UsageMistake } from './command.ts';

/** The secrets that the service must read again, and the key that they are encrypted with. */
export const secretsCommand: Command = {
  summary: 'make a FERNET_KEY, and encrypt stored secrets with the newest one',
  help: `Usage: latchkey secrets generate
       latchkey secrets reencrypt

generate   prints a new key for FERNET_KEY
reencrypt  encrypts every stored secret that an older key of FERNET_KEY made with the first one; safe while the service runs,
           and safe to run again

To rotate: put the new key first in FERNET_KEY and restart every replica; run reencrypt; take the old key out and restart.

Example:
  latchkey secrets generate > /run/secrets/fernet-key.new`,

  async run(args, out) {
    const [verb, ...rest] = args;
    if (rest.length > 0) throw new UsageMistake(`secrets ${verb} takes nothing else.`);
    if (verb === 'generate') {
      out.print(newFernetKey());
      return 0;
    }
    if (verb === 'reencrypt') return await reencrypt(loadConfig({ ...process.env, NODE_ENV: undefined }), out);
    throw new UsageMistake(verb === undefined ? 'Say what to do with the secrets.' : `secrets cannot "${verb}".`);
  },
};

async function reencrypt(config: Config, out: Output): Promise<number> {
  const box = fernetBox(parseFernetKeys(config.FERNET_KEY?.reveal() ?? generatedSecret(config.DATA_DIR, 'fernet-key').toString()));
  const embedded = config.DATABASE_URL ? null : await startEmbeddedPostgres(config.DATA_DIR, out.complain);
  try {
    const address = embedded?.address ?? { url: config.DATABASE_URL?.reveal() ?? '' };
    const { seen, changed } = await reencryptSecrets(address, (sealed) => (box.isCurrent(sealed) ? null : box.seal(box.open(sealed))));
    out.print(`${changed} of ${seen} secrets encrypted anew`);
    return 0;
  } finally {
    await embedded?.stop();
  }
}

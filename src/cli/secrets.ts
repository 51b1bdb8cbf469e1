import { fernetBox, newFernetKey, parseFernetKeys } from '#infrastructure/crypto/fernet.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';
import { reencryptSecrets } from '#infrastructure/postgres/reencrypt-secrets.ts';
import type { Config } from '../config.ts';
import { loadCommandConfig } from '../ssm-settings.ts';
import { type Command, type Output, UsageMistake } from './command.ts';
import { counting } from './progress.ts';
import { withAddress } from './with-address.ts';

/** The secrets that the service must read again, and the key that they are encrypted with. */
export const secretsCommand: Command = {
  summary: 'make a FERNET_KEY, and encrypt stored secrets with the newest one',
  help: `Usage: latchkey secrets generate
       latchkey secrets reencrypt

generate   prints a new key for FERNET_KEY
reencrypt  encrypts every stored secret that an older key of FERNET_KEY made with the first one; safe while the service runs,
           and safe to run again

To rotate without a failed sign-in, replicas restart three times: with the new key last in FERNET_KEY, so that all can open what it seals; with
it first, after which reencrypt runs; and with it alone. docs/runbooks/rotate-encryption-keys.md has the commands.

Examples:
  latchkey secrets generate > /run/secrets/fernet-key.new
  FERNET_KEY_FILE=/run/secrets/fernet-keys latchkey secrets reencrypt`,

  async run(args, out) {
    const [verb, ...rest] = args;
    if (rest.length > 0) throw new UsageMistake(`secrets ${verb} takes nothing else.`);
    if (verb === 'generate') {
      out.print(newFernetKey());
      return 0;
    }
    if (verb === 'reencrypt') return await reencrypt(await loadCommandConfig(process.env, ['FERNET_KEY']), out);
    throw new UsageMistake(verb === undefined ? 'Say what to do with the secrets.' : `secrets cannot "${verb}".`);
  },
};

async function reencrypt(config: Config, out: Output): Promise<number> {
  const box = fernetBox(parseFernetKeys(config.FERNET_KEY?.reveal() ?? generatedSecret(config.DATA_DIR, 'fernet-key').toString()));
  return await withAddress(config, out.complain, async (address) => {
    const renew = (sealed: string) => (box.isCurrent(sealed) ? null : box.seal(box.open(sealed)));
    const { seen, changed } = await counting('secrets looked at', (tell) => reencryptSecrets(address, renew, tell));
    out.print(`${changed} of ${seen} secrets encrypted anew`);
    return 0;
  });
}

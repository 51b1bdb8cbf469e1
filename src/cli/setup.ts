import { copyFileSync, existsSync } from 'node:fs';
import { createKeyFolder } from '#infrastructure/crypto/key-folder.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';
import { loadConfig } from '../config.ts';
import type { Command } from './command.ts';

/** What a first start would make, made now: settings to edit, signing keys, the development secret. */
export const setup: Command = {
  summary: 'make .env, signing keys and the development secret where there are none',
  help: `Usage: latchkey setup

Makes what is not there and leaves the rest alone: .env from .env.example, signing keys in KEYS_DIR, and, unless SECRET_KEY is
set, a secret in DATA_DIR.

Example:
  latchkey setup && npm start`,

  async run(_args, out) {
    if (existsSync('.env')) out.print('.env is there');
    else {
      copyFileSync('.env.example', '.env');
      out.print('.env made from .env.example');
    }
    const config = loadConfig(process.env);
    if (!config.JWT_PRIVATE_KEY) {
      createKeyFolder(config.KEYS_DIR, config.JWT_ALGORITHM, new Date());
      out.print(`signing keys in ${config.KEYS_DIR}`);
    }
    if (!config.SECRET_KEY) {
      generatedSecret(config.DATA_DIR, 'secret-key');
      out.print(`development secret in ${config.DATA_DIR}`);
    }
    if (!config.FERNET_KEY) generatedSecret(config.DATA_DIR, 'fernet-key');
    return 0;
  },
};

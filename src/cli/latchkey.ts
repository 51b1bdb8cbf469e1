#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { type Command, type Output, table, UsageMistake } from './command.ts';
import { docs } from './docs.ts';
import { keys } from './keys.ts';
import { migrateCommand } from './migrate.ts';
import { outbox } from './outbox.ts';
import { secretsCommand } from './secrets.ts';
import { setup } from './setup.ts';
import { users } from './users-transfer.ts';

/** `npm run --silent latchkey -- COMMAND`: the operator's tool. Secrets are read from settings and files, never from the command line. */

const COMMANDS: Record<string, Command> = { setup, migrate: migrateCommand, keys, secrets: secretsCommand, users, outbox, docs };

export async function latchkey(argv: readonly string[], out: Output): Promise<number> {
  const [name, ...args] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    out.print(usage());
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    out.complain(`There is no command "${name}".\n\n${usage()}`);
    return 2;
  }
  if (args.includes('--help') || args.includes('-h')) {
    out.print(command.help);
    return 0;
  }
  try {
    return await command.run(args, out);
  } catch (error) {
    if (error instanceof UsageMistake || isParseMistake(error)) {
      out.complain(`${error.message}\n\n${command.help}`);
      return 2;
    }
    out.complain(error instanceof Error ? error.message : String(error));
    return 1;
  }
}

function usage(): string {
  const rows = Object.entries(COMMANDS).map(([name, { summary }]) => [`  ${name}`, summary]);
  return ['Usage: latchkey COMMAND [options]', '', 'Commands:', ...table(rows), '', 'latchkey COMMAND --help tells more.'].join('\n');
}

function isParseMistake(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
}

if (import.meta.main) {
  if (existsSync('.env')) process.loadEnvFile('.env');
  process.exitCode = await latchkey(process.argv.slice(2), { print: (line) => console.log(line), complain: (line) => console.error(line) });
}

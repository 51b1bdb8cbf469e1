#!/usr/bin/env node
import '../../tools/runtime/compile-cache.mjs'; // first: it keeps what is loaded after it
import { existsSync } from 'node:fs';
import { versionOfPackage } from '../version.ts';
import { type Command, type Output, optionsOf, overview, UsageMistake, usageOf, verbsOf } from './command.ts';
import { COMMANDS } from './commands.ts';
import { nearest } from './nearest.ts';
import { complaintOf } from './reason.ts';

/** `npm run --silent latchkey -- COMMAND`: the operator's tool. Secrets are read from settings and files, never from the command line. */

const HELP = ['--help', '-h'];

export async function latchkey(argv: readonly string[], out: Output): Promise<number> {
  const [first, ...rest] = argv;
  if (first === '--version' || first === '-V' || first === 'version') {
    out.print(`latchkey ${versionOfPackage()}`);
    return 0;
  }
  if (first === undefined || HELP.includes(first) || (first === 'help' && rest.length === 0)) {
    out.print(await overview(COMMANDS));
    return first === undefined ? 2 : 0;
  }
  const [name = '', ...args] = first === 'help' ? [...rest, '--help'] : argv;
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!load) {
    const meant = nearest(name, Object.keys(COMMANDS));
    out.complain(`There is no command "${name}"${meant ? `; did you mean "${meant}"?` : '.'}\n\n${await overview(COMMANDS)}`);
    return 2;
  }
  const command = await load();
  if (args.some((word) => HELP.includes(word))) {
    out.print(command.help);
    return 0;
  }
  try {
    refuseUnknownVerb(name, command, args);
    return await command.run(args, out);
  } catch (error) {
    const mistake = mistakeIn(error, command);
    if (mistake === null) {
      out.complain(complaintOf(error));
      return 1;
    }
    out.complain(`${mistake}\n\n${usageOf(command)}\n\nlatchkey ${name} --help tells more.`);
    return 2;
  }
}

function refuseUnknownVerb(name: string, command: Command, [verb]: readonly string[]): void {
  const verbs = verbsOf(name, command);
  if (verbs.length === 0 || (verb !== undefined && verbs.includes(verb))) return;
  if (verb === undefined) throw new UsageMistake(`Say what to do: ${verbs.join(', ')}.`);
  const meant = nearest(verb, verbs);
  throw new UsageMistake(`latchkey ${name} has no "${verb}"${meant ? `; did you mean "${meant}"?` : `, but ${verbs.join(', ')}.`}`);
}

/** @returns what is wrong with the words; null: something else went wrong */
function mistakeIn(error: unknown, command: Command): string | null {
  if (error instanceof UsageMistake) return error.message;
  if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))) return null;
  // Node's own words go on to explain how to pass what begins with a dash. The option alone is named: what follows "=" may be a secret.
  const [, option] = /^Unknown option '(--?[^'=]+)/.exec(error.message) ?? [];
  if (option === undefined) return error.message.split('. ')[0] ?? '';
  const options = optionsOf(command);
  if (options.includes(option)) return `${option} is an option of another verb.`;
  const meant = nearest(option, options);
  return `There is no option ${option}${meant ? `; did you mean ${meant}?` : '.'}`;
}

if (import.meta.main) {
  if (existsSync('.env')) process.loadEnvFile('.env');
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0); // who reads only the beginning (head, less) has what they want
    console.error(`What was done stays; what it has to say about it cannot be written: ${error.message}`);
    process.exit(1);
  });
  process.exitCode = await latchkey(process.argv.slice(2), { print: (line) => console.log(line), complain: (line) => console.error(line) });
}

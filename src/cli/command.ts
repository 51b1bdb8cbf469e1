/** A command of `latchkey`: what it prints with --help, and what it does. */
export type Command = {
  /** One line for the list of commands. */
  summary: string;
  /** What --help prints. It begins with the ways to use it, an empty line after them, and ends with examples; docs/cli.md is made of it. */
  help: string;
  /** @returns the exit code: 0 only when it is done, 2 when the words are off */
  run(args: string[], out: Output): Promise<number>;
};

/** Commands by name. Each is loaded when it is asked for: one that needs little starts fast. */
export type Commands = Record<string, () => Promise<Command>>;

export type Output = { print(line: string): void; complain(line: string): void };

/** The words of the command line are off; the message says how. */
export class UsageMistake extends Error {}

/** The ways to use a command: the first paragraph of its help. */
export function usageOf({ help }: Pick<Command, 'help'>): string {
  return help.split('\n\n')[0] ?? '';
}

/** The verbs of a command, as its help names them; none: it has one use. */
export function verbsOf(name: string, { help }: Pick<Command, 'help'>): string[] {
  return [...new Set([...usageOf({ help }).matchAll(new RegExp(`\\blatchkey ${name} ([a-z][a-z-]*)`, 'g'))].map(([, verb = '']) => verb))];
}

/** The options of a command, as its help names them. */
export function optionsOf({ help }: Pick<Command, 'help'>): string[] {
  return [...new Set(['--help', ...[...help.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([option]) => option)])];
}

/** Rows for people: columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** What `latchkey --help` says. */
export async function overview(commands: Commands): Promise<string> {
  const rows = await Promise.all(Object.entries(commands).map(async ([name, load]) => [`  ${name}`, (await load()).summary]));
  return [
    'Usage: latchkey COMMAND [options]',
    '',
    ...table(rows),
    '',
    'latchkey COMMAND --help tells more, with examples; latchkey --version names this version. Settings come from the environment and .env,',
    'as for the service; secrets are never given on the command line. It ends with 0 when it is done, with 1 when it is refused or failed,',
    'and with 2 when the words are off.',
  ].join('\n');
}

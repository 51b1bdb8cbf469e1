/** A command of `latchkey`: what it prints with --help, and what it does. */
export type Command = {
  /** One line for the list of commands. */
  summary: string;
  /** What --help prints: use, options, examples. */
  help: string;
  /** @returns the exit code: 0 only when it is done, 2 when the words are off */
  run(args: string[], out: Output): Promise<number>;
};

export type Output = { print(line: string): void; complain(line: string): void };

/** The words of the command line are off; the message says how. */
export class UsageMistake extends Error {}

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

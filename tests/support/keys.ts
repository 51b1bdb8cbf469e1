import type { Clock } from '#application/ports/services.ts';
import { keysCommand } from '#cli/keys.ts';
import type { Ran } from './cli.ts';

/** `latchkey keys …` on this folder, at the time of the test's clock. */
export type Keys = (...args: string[]) => Promise<Ran>;

export function keysOf(dir: string, clock: Clock): Keys {
  const command = keysCommand(clock);
  return async (...args) => {
    const ran = { printed: [] as string[], complained: [] as string[] };
    const before = process.env['KEYS_DIR'];
    process.env['KEYS_DIR'] = dir;
    try {
      const output = { print: (line: string) => void ran.printed.push(line), complain: (line: string) => void ran.complained.push(line) };
      return { code: await command.run(args, output), ...ran };
    } catch (error) {
      return { code: 1, ...ran, complained: [...ran.complained, error instanceof Error ? error.message : String(error)] };
    } finally {
      if (before === undefined) delete process.env['KEYS_DIR'];
      else process.env['KEYS_DIR'] = before;
    }
  };
}

/** Which key signed a token. */
export function kidOf(token: string): string {
  const [head = ''] = token.split('.');
  return (JSON.parse(Buffer.from(head, 'base64url').toString()) as { kid: string }).kid;
}

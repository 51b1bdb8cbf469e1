import { type AddressInfo, createServer, type Socket } from 'node:net';

export type RedisStub = {
  url: string;
  /** Every command, in its order. */
  asked: string[][];
  /** So many connections were made to it. */
  connections(): number;
  /** What a command gets instead of `OK`, as it goes over the wire. */
  reply: ((command: string[], connection: number) => string | null) | null;
  /** Says this over whatever is open, asked or not. */
  talk(text: string): void;
  /** Ends all that is open: politely (FIN), or as a crashed machine does (RST). */
  cut(how: 'fin' | 'reset'): void;
  stop(): Promise<void>;
};

/** A Redis that says what a real one says on days that no test can make: RESP3, and nothing behind it. */
export async function redisStub(): Promise<RedisStub> {
  const open = new Set<Socket>();
  let made = 0;
  const server = createServer((socket) => {
    const connection = ++made;
    let text = '';
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
    socket.setEncoding('latin1').on('data', (chunk) => {
      const { commands, rest } = commandsIn(text + chunk);
      text = rest;
      for (const command of commands) {
        stub.asked.push(command);
        socket.write(stub.reply?.(command, connection) ?? (command[0] === 'hello' ? '%1\r\n+proto\r\n:3\r\n' : '+OK\r\n'));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stub: RedisStub = {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    connections: () => made,
    reply: null,
    talk(text) {
      for (const socket of open) socket.write(text);
    },
    cut(how) {
      for (const socket of open) how === 'reset' ? socket.resetAndDestroy() : socket.end();
    },
    async stop() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return stub;
}

/** Whole commands (`*2 $4 echo $1 a`), and the beginning of the next. */
function commandsIn(text: string): { commands: string[][]; rest: string } {
  const commands: string[][] = [];
  let rest = text;
  for (;;) {
    const head = /^\*(\d+)\r\n/.exec(rest);
    if (!head) return { commands, rest };
    const command: string[] = [];
    let at = head[0].length;
    for (let left = Number(head[1]); left > 0; left--) {
      const size = /^\$(\d+)\r\n/.exec(rest.slice(at));
      const from = at + (size?.[0].length ?? 0);
      const to = from + Number(size?.[1]);
      if (!size || rest.length < to + 2) return { commands, rest };
      command.push(rest.slice(from, to));
      at = to + 2;
    }
    commands.push([(command[0] ?? '').toLowerCase(), ...command.slice(1)]);
    rest = rest.slice(at);
  }
}

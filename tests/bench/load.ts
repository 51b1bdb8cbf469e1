import { connect } from 'node:net';

/** A load on loopback: `connections` sockets, each with one request in flight, for `seconds`. Bounded, and ends by itself. */
export type Load = {
  port: number;
  connections: number;
  seconds: number;
  /** The next request of one connection as bytes; `body` is the last answer that it got. */
  next(connection: number, body: string | null): string;
};

/** `refused`: the first answer that was not 2xx. */
export type Measured = { perSecond: number; failed: number; refused: string | null; p50Ms: number; p99Ms: number };

export async function load({ port, connections, seconds, next }: Load): Promise<Measured> {
  const tookMs: number[] = [];
  let failed = 0;
  let refused: string | null = null;
  const startedAt = performance.now();
  const endAt = startedAt + seconds * 1000;
  await Promise.all(
    Array.from({ length: connections }, (_, index) => {
      return new Promise<void>((resolve, reject) => {
        const socket = connect(port, '127.0.0.1');
        let text = '';
        let sentAt = 0;
        const send = (body: string | null) => {
          const request = next(index, body); // asked at the end too: it keeps what the last answer said
          sentAt = performance.now();
          if (sentAt < endAt) socket.write(request, 'latin1');
          else socket.destroy();
        };
        socket.setNoDelay(true);
        socket.on('connect', () => send(null));
        socket.on('data', (chunk) => {
          text += chunk.toString('latin1');
          const body = bodyOf(text);
          if (body === null) return;
          tookMs.push(performance.now() - sentAt);
          if (text[9] !== '2') {
            failed++;
            refused ??= text;
          }
          text = '';
          send(body);
        });
        socket.on('error', reject).on('close', () => resolve());
      });
    }),
  );
  const elapsedSeconds = (performance.now() - startedAt) / 1000;
  tookMs.sort((a, b) => a - b);
  const at = (share: number) => tookMs[Math.min(tookMs.length - 1, Math.floor(tookMs.length * share))] ?? 0;
  return { perSecond: tookMs.length / elapsedSeconds, failed, refused, p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** The body of a whole response, by its length or in chunks; null while some of it is still to come. */
function bodyOf(text: string): string | null {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const body = text.slice(end + 4);
  const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
  if (length !== undefined) return body.length >= Number(length) ? body : null;
  return body.endsWith('0\r\n\r\n') ? body : null;
}

export function get(path: string, headers: Record<string, string> = {}): string {
  return `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${lines(headers)}\r\n`;
}

export function post(path: string, body: unknown): string {
  const text = JSON.stringify(body);
  return `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
}

function lines(headers: Record<string, string>): string {
  return Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
}

import type { Server } from 'node:http';
import type { Socket } from 'node:net';

const LOOK_EVERY_MS = 10_000;
/** Less than this taken from one look to the next counts as nothing. */
const LEAST_BYTES = 1024;
const LOOKS = 3;

type Seen = { takenBytes: number; times: number };

/**
 * Cuts off who asks and does not read: an answer that has waited for its reader for half a minute would be kept in memory for as long as
 * the reader likes. Node's own time limit for silent sockets would also cut off those that wait for us on a busy day.
 * @returns stops it
 */
export function cutSlowReaders(server: Server, everyMs = LOOK_EVERY_MS): () => void {
  const open = new Map<Socket, Seen>();
  server.on('connection', (socket: Socket) => {
    open.set(socket, { takenBytes: 0, times: 0 });
    socket.once('close', () => open.delete(socket));
  });
  const timer = setInterval(() => {
    for (const [socket, seen] of open) {
      const takenBytes = socket.bytesWritten - socket.writableLength;
      const isStuck = socket.writableLength > 0 && takenBytes - seen.takenBytes < LEAST_BYTES;
      seen.times = isStuck ? seen.times + 1 : 0;
      seen.takenBytes = takenBytes;
      if (seen.times >= LOOKS) socket.destroy();
    }
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

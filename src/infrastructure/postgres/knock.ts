import net from 'node:net';

/** SSLRequest (PostgreSQL documentation 54.2.10): a server, or PgBouncer, answers it before it knows who asks. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/**
 * Whether somebody opens within `timeoutMs`. The answer comes from a fresh connection and needs neither a session nor a lock:
 * a server that is merely busy still gives it, one that is gone or frozen does not. Never rejects.
 */
export function knock(door: net.NetConnectOpts, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(door);
    const settle = (isThere: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(isThere);
    };
    // A busy event loop fires timers before it reads sockets: an answer that is here already is taken first.
    const timer = setTimeout(() => setImmediate(settle, false), timeoutMs);
    socket.once('connect', () => socket.write(SSL_REQUEST));
    socket.once('data', () => settle(true));
    socket.on('error', () => settle(false));
    socket.once('close', () => settle(false));
  });
}

import type { FastifyRequest } from 'fastify';
import type { Client } from '#domain/client.ts';
import { plainAddress } from '#domain/network.ts';
import type { Cookies } from './cookies.ts';

const LONGEST_USER_AGENT = 512;

/** The caller as the flows know it. A User-Agent is kept short and free of control characters (ASVS 16.4.1). */
export function clientOf(request: FastifyRequest, cookies: Cookies): Client {
  const agent = request.headers['user-agent'];
  return {
    ip: plainAddress(request.ip),
    userAgent: agent === undefined ? null : agent.slice(0, LONGEST_USER_AGENT).replace(/\p{Cc}/gu, ' '),
    requestId: request.id,
    sessionToken: cookies.read(request, 'session'),
    deviceToken: cookies.read(request, 'device'),
  };
}

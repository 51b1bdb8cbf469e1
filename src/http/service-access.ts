import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ServiceClient } from '#application/ports/store.ts';
import type { serviceClients } from '#application/service-clients.ts';
import { refuse } from '#domain/problems.ts';
import type { EdgeLimits } from './limits.ts';
import { RefusalError } from './problem.ts';

const CHALLENGE = { 'www-authenticate': 'Basic realm="latchkey", charset="UTF-8"' };

/**
 * Which service is calling, by HTTP Basic (RFC 7617; form-encoded as in RFC 6749 2.3.1). A service asks about every request of its own,
 * so it is not limited by address; wrong credentials are.
 * @throws RefusalError unauthenticated or rate-limited
 */
export function serviceCheck({
  clients,
  limits,
}: {
  clients: Pick<ReturnType<typeof serviceClients>, 'authenticate'>;
  limits: EdgeLimits;
}) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<ServiceClient> => {
    const given = credentialsOf(request);
    const client = given && (await clients.authenticate(given.id, given.secret));
    if (client) return client;
    await (await limits.begin(request, reply, { added: [], isByFlow: false })).settle();
    throw new RefusalError(refuse('unauthenticated', { detail: 'The credentials of a service are needed.' }), CHALLENGE);
  };
}

function credentialsOf(request: FastifyRequest): { id: string; secret: string } | null {
  const given = request.raw.headersDistinct['authorization'];
  if (given?.length !== 1) return null;
  const encoded = /^Basic ([A-Za-z0-9+/]{1,512}={0,2})$/i.exec(given[0] ?? '')?.[1];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  return colon < 0 ? null : { id: text.slice(0, colon), secret: text.slice(colon + 1) };
}

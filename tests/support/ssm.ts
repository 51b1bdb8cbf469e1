import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AwsKeys, wrongSignature } from './sigv4.ts';

export type Ssm = {
  endpoint: string;
  /** What it keeps; a SecureString each, which comes as a cipher unless decryption is asked for. */
  parameters: Map<string, string>;
  /** The names of each request that was signed rightly. */
  asked: string[][];
  /** Answers the next requests with these instead: an HTTP status and the type of the error, or no answer at all. */
  failNext(...failures: ([status: number, type: string] | 'silence')[]): void;
  stop(): Promise<void>;
};

/** SSM as far as GetParameters goes, over its real protocol, for who signs rightly and asks for what may be asked in one request. */
export async function fakeSsm(region: string, keys: AwsKeys): Promise<Ssm> {
  const parameters = new Map<string, string>();
  const asked: string[][] = [];
  const failures: ([number, string] | 'silence')[] = [];
  const fail = (response: ServerResponse, status: number, type: string, message: string) =>
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify({ __type: type, message }));
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const fault = wrongSignature(request, body, keys, 'ssm', region);
    if (fault !== null) return fail(response, 400, 'InvalidSignatureException', fault);
    if (request.headers['x-amz-target'] !== 'AmazonSSM.GetParameters') return fail(response, 400, 'UnknownOperationException', 'what?');
    const { Names, WithDecryption } = JSON.parse(body.toString()) as { Names: string[]; WithDecryption?: boolean };
    asked.push(Names);
    const failure = failures.shift();
    if (failure === 'silence') return;
    if (failure) return fail(response, ...failure, 'as the test has it');
    if (Names.length > 10) return fail(response, 400, 'ValidationException', 'at most ten');
    const found = Names.flatMap((Name) => {
      const value = parameters.get(Name);
      return value === undefined ? [] : [{ Name, Type: 'SecureString', Version: 1, Value: WithDecryption ? value : 'AQICAHcipher' }];
    });
    const answer = { Parameters: found.reverse(), InvalidParameters: Names.filter((name) => !parameters.has(name)) };
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    parameters,
    asked,
    failNext: (...next) => void failures.push(...next),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

export type CollectedSpan = {
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  name: string;
  /** OTLP: 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number;
  attributes: Record<string, string | number | boolean>;
  isError: boolean;
  links: { traceId: string; spanId: string }[];
  startNano: bigint;
  endNano: bigint;
};

export type Collector = {
  url: string;
  spans: CollectedSpan[];
  /** Every request as it came. */
  received: { path: string | undefined; headers: IncomingHttpHeaders; body: string }[];
  resource: Record<string, string | number | boolean>;
  /** How it answers from now on: `hang` never does. */
  behave(how: 'take' | 'refuse' | 'hang'): void;
  stop(): Promise<void>;
};

type Value = { stringValue?: string; intValue?: number | string; boolValue?: boolean; doubleValue?: number };
type KeyValue = { key: string; value: Value };
type WireSpan = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  attributes?: KeyValue[];
  status?: { code?: number };
  links?: { traceId: string; spanId: string }[];
  startTimeUnixNano: string;
  endTimeUnixNano: string;
};
type Export = { resourceSpans: { resource: { attributes: KeyValue[] }; scopeSpans: { spans: WireSpan[] }[] }[] };

const ERROR = 2;

/** A collector as OTLP/HTTP 1 has it, in JSON: it keeps what it is sent. @param port any free one, unless it comes back */
export async function collector(port = 0): Promise<Collector> {
  let how: 'take' | 'refuse' | 'hang' = 'take';
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      collected.received.push({ path: request.url, headers: request.headers, body });
      if (how === 'hang') return;
      if (how === 'refuse') return void response.writeHead(503).end();
      for (const { resource, scopeSpans } of (JSON.parse(body) as Export).resourceSpans) {
        Object.assign(collected.resource, plain(resource.attributes));
        for (const { spans } of scopeSpans) collected.spans.push(...spans.map(read));
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const collected: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    received: [],
    resource: {},
    behave(next) {
      how = next;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return collected;
}

function read(span: WireSpan): CollectedSpan {
  const { traceId, spanId, parentSpanId, name, kind, attributes = [], status, links = [], startTimeUnixNano, endTimeUnixNano } = span;
  return {
    ...{ traceId, spanId, parentSpanId: parentSpanId || undefined, name, kind, links },
    attributes: plain(attributes),
    isError: status?.code === ERROR,
    startNano: BigInt(startTimeUnixNano),
    endNano: BigInt(endTimeUnixNano),
  };
}

function plain(attributes: readonly KeyValue[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    attributes.map(({ key, value: { stringValue, intValue, boolValue, doubleValue } }) => [
      key,
      stringValue ?? boolValue ?? doubleValue ?? Number(intValue),
    ]),
  );
}

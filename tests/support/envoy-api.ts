import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import protobuf from 'protobufjs';

/**
 * Envoy's own API, and a configuration held against it as Envoy reads one: JSON of protobuf, with the rules that stand beside the fields.
 * Stricter where JSON of protobuf is lenient (null, numbers in quotes, deprecated fields): a page for others has no need of those.
 */

type Json = Record<string, unknown>;
type Rules = Record<string, Record<string, unknown>>;

const PROTOS = path.resolve('node_modules/@grpc/grpc-js-xds/deps');
const FILES = '{envoy-api/envoy/{config,extensions,type}/**/v3/*.proto,xds/**/*.proto}';
const api = new protobuf.Root();
for (const name of ['any', 'duration', 'struct', 'wrappers'])
  api.addJSON(protobuf.common.get(`google/protobuf/${name}.proto`)?.nested ?? {});
for (const file of globSync(FILES, { cwd: PROTOS })) {
  // Not root.load: it resolves all that there is, and some names of no concern here (OpenCensus) are not in the package.
  protobuf.parse(readFileSync(path.join(PROTOS, file), 'utf8'), api, { keepCase: true });
}

const BOOTSTRAP = api.lookupType('envoy.config.bootstrap.v3.Bootstrap');

/** What is wrong with what `envoy -c` would be given, each with its place. */
export function problemsOf(config: unknown): string[] {
  return inMessage(BOOTSTRAP, config, '');
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
const isWhole = (from: number, to: number) => (value: unknown) =>
  Number.isSafeInteger(value) && Number(value) >= from && Number(value) <= to;

const INT32 = isWhole(-(2 ** 31), 2 ** 31 - 1);
const UINT32 = isWhole(0, 2 ** 32 - 1);
const INT64 = isWhole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
const UINT64 = isWhole(0, Number.MAX_SAFE_INTEGER);
const SCALARS: Record<string, { is: (value: unknown) => boolean; absent: unknown }> = {
  string: { is: (value) => typeof value === 'string', absent: '' },
  bytes: { is: (value) => typeof value === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(value), absent: '' },
  bool: { is: (value) => typeof value === 'boolean', absent: false },
  double: { is: Number.isFinite, absent: 0 },
  float: { is: Number.isFinite, absent: 0 },
  int32: { is: INT32, absent: 0 },
  sint32: { is: INT32, absent: 0 },
  uint32: { is: UINT32, absent: 0 },
  int64: { is: INT64, absent: 0 },
  uint64: { is: UINT64, absent: 0 },
};

const DURATION = /^\d+(\.\d{1,9})?s$/;

/** Envoy finds an extension by the type of its configuration, among those of one kind: a filter where a filter is asked for. */
const EXTENSIONS: Record<string, string> = {
  '.envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter': '.envoy.extensions.filters.http.',
  '.envoy.config.listener.v3.Filter': '.envoy.extensions.filters.network.',
  '.envoy.config.core.v3.TransportSocket': '.envoy.extensions.transport_sockets.',
};

function inMessage(type: protobuf.Type, value: unknown, at: string): string[] {
  const name = type.fullName.slice(1);
  if (name === 'google.protobuf.Any') return inAny(value, at);
  if (name === 'google.protobuf.Duration') return typeof value === 'string' && DURATION.test(value) ? [] : [wrong(value, 'a duration', at)];
  if (name === 'google.protobuf.Value') return [];
  if (name === 'google.protobuf.Struct') return isObject(value) ? [] : [wrong(value, 'an object', at)];
  if (name === 'google.protobuf.ListValue') return Array.isArray(value) ? [] : [wrong(value, 'a list', at)];
  const wrapped = /^google\.protobuf\.\w+Value$/.test(name) ? type.fields['value'] : undefined;
  if (wrapped) return inSingle(wrapped, value, at);
  if (!isObject(value)) return [wrong(value, name, at)];

  const unknown = Object.keys(value).filter((key) => !Object.hasOwn(type.fields, key));
  const problems = unknown.map((key) => `${at}: ${name} has no field ${key}`);
  for (const field of type.fieldsArray) problems.push(...inField(field, value[field.name], at === '' ? field.name : `${at}.${field.name}`));
  for (const { oneof, options } of type.oneofsArray) {
    const given = oneof.filter((each) => value[each] !== undefined);
    if (given.length > 1) problems.push(`${at}: ${given.join(' and ')} exclude each other`);
    if (given.length === 0 && options?.['(validate.required)']) problems.push(`${at}: ${name} needs one of ${oneof.join(', ')}`);
  }
  return problems;
}

function inAny(value: unknown, at: string): string[] {
  if (!isObject(value)) return [wrong(value, 'an object with @type', at)];
  const { '@type': url, ...rest } = value;
  const name = /^type\.googleapis\.com\/(.+)$/.exec(String(url))?.[1];
  const type = name === undefined ? null : api.lookup(`.${name}`, [protobuf.Type]);
  return type instanceof protobuf.Type ? inMessage(type, rest, at) : [wrong(url, 'a type of Envoy', `${at}.@type`)];
}

function inField(field: protobuf.Field, value: unknown, at: string): string[] {
  const rules = rulesOf(field);
  const isRuled = Object.keys(rules).length > 0;
  if (value === undefined) return field.partOf || !isRuled ? [] : broken(rules, absentOf(field), at);
  if (field.options?.['deprecated']) return [`${at}: is deprecated`];
  if (field instanceof protobuf.MapField) {
    if (!isObject(value)) return [wrong(value, 'an object', at)];
    return [...broken(rules, value, at), ...Object.entries(value).flatMap(([key, each]) => inSingle(field, each, `${at}.${key}`))];
  }
  if (field.repeated) {
    if (!Array.isArray(value)) return [wrong(value, 'a list', at)];
    return [...broken(rules, value, at), ...value.flatMap((each, index) => inSingle(field, each, `${at}[${index}]`))];
  }
  const problems = inSingle(field, value, at);
  return problems.length > 0 || !isRuled ? problems : broken(rules, numbered(field, value), at);
}

function inSingle(field: protobuf.Field, value: unknown, at: string): string[] {
  const scalar = SCALARS[field.type];
  if (scalar) return scalar.is(value) ? [] : [wrong(value, field.type, at)];
  const type = typeOf(field);
  if (type instanceof protobuf.Enum) return Object.hasOwn(type.values, String(value)) ? [] : [wrong(value, type.name, at)];
  const place = EXTENSIONS[field.parent?.fullName ?? ''];
  if (place && type.fullName === '.google.protobuf.Any' && isObject(value) && !String(value['@type']).includes(`/${place.slice(1)}`)) {
    return [wrong(value['@type'], `an extension of ${place.slice(1)}`, `${at}.@type`)];
  }
  return inMessage(type, value, at);
}

const wrong = (value: unknown, wanted: string, at: string) => `${at}: ${JSON.stringify(value)} is not ${wanted}`;

function typeOf(field: protobuf.Field): protobuf.Type | protobuf.Enum {
  if (!field.parent) throw new Error(`${field.name} belongs nowhere`);
  return field.parent.lookupTypeOrEnum(field.type);
}

function absentOf(field: protobuf.Field): unknown {
  if (field instanceof protobuf.MapField) return {};
  if (field.repeated) return [];
  const scalar = SCALARS[field.type];
  if (scalar) return scalar.absent;
  return typeOf(field) instanceof protobuf.Enum ? 0 : undefined;
}

/** Rules know the words of an enumeration by their numbers. */
function numbered(field: protobuf.Field, value: unknown): unknown {
  const type = SCALARS[field.type] ? undefined : typeOf(field);
  return type instanceof protobuf.Enum ? type.values[String(value)] : value;
}

const amountOf = (of: unknown): number => {
  if (typeof of === 'string') return Number.parseFloat(of);
  return isObject(of) ? Number(of['seconds'] ?? 0) + Number(of['nanos'] ?? 0) / 1e9 : Number(of);
};
const sizeOf = (value: unknown) => (typeof value === 'string' ? value : Object.keys(value as Json)).length;
const listed = (bound: unknown) => (Array.isArray(bound) ? bound : [bound]);
const always = () => true;
/** As protoc-gen-validate says it. */
const LINE = /^[^\0\r\n]*$/;
const HEADERS: Record<string, RegExp> = {
  HTTP_HEADER_NAME: /^:?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+$/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused.
  HTTP_HEADER_VALUE: /^[^\x00-\x08\x0A-\x1F\x7F]*$/,
};

/** The rules of protoc-gen-validate that fields have here. What is not set at all is no business of theirs, but of `required`. */
const RULES: Record<string, (value: unknown, bound: unknown, beside: Record<string, unknown>) => boolean> = {
  gt: (value, bound) => amountOf(value) > amountOf(bound),
  gte: (value, bound) => amountOf(value) >= amountOf(bound),
  lt: (value, bound) => amountOf(value) < amountOf(bound),
  lte: (value, bound) => amountOf(value) <= amountOf(bound),
  min_len: (value, bound) => sizeOf(value) >= Number(bound),
  max_len: (value, bound) => sizeOf(value) <= Number(bound),
  max_bytes: (value, bound) => Buffer.byteLength(String(value)) <= Number(bound),
  min_items: (value, bound) => sizeOf(value) >= Number(bound),
  max_items: (value, bound) => sizeOf(value) <= Number(bound),
  min_pairs: (value, bound) => sizeOf(value) >= Number(bound),
  unique: (value) => new Set((value as unknown[]).map((each) => JSON.stringify(each))).size === sizeOf(value),
  pattern: (value, bound) => new RegExp(String(bound)).test(String(value)),
  const: (value, bound) => value === bound,
  in: (value, bound) => listed(bound).includes(value),
  not_in: (value, bound) => !listed(bound).includes(value),
  well_known_regex: (value, bound, { strict }) => (strict === false ? LINE : HEADERS[String(bound)])?.test(String(value)) === true,
  // No rules by themselves: the one above asks for `strict`, and a name that is not defined is refused before.
  strict: always,
  defined_only: always,
};

function rulesOf(field: protobuf.Field): Rules {
  // A list, whatever its type says.
  const options = (field.parsedOptions ?? []) as unknown as Record<string, Rules>[];
  return Object.assign({}, ...options.map((each) => each['(validate.rules)'] ?? {}));
}

function broken(rules: Rules, value: unknown, at: string): string[] {
  return Object.values(rules).flatMap((ofKind) => {
    const { required, ignore_empty, items, ...rest } = ofKind;
    if (value === undefined) return required ? [`${at}: is required`] : [];
    if (ignore_empty && value === '') return [];
    const ofItems =
      items === undefined ? [] : (value as unknown[]).flatMap((each, index) => broken(items as Rules, each, `${at}[${index}]`));
    const own = Object.entries(rest).flatMap(([name, bound]) => {
      const holds = RULES[name];
      // Never in silence: what cannot be checked is not said to be.
      if (!holds) throw new Error(`${at}: nothing here knows the rule ${name}`);
      return holds(value, bound, rest) ? [] : [`${at}: ${JSON.stringify(value)} breaks ${name} ${JSON.stringify(bound)}`];
    });
    return [...own, ...ofItems];
  });
}

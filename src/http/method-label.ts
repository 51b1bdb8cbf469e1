const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** For counters and spans: what clients make up is one thing to them (OpenTelemetry's word for it). */
export function methodLabel(method: string): string {
  return METHODS.has(method) ? method : '_OTHER';
}

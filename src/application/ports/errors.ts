/** A dependency that the request may not do without does not answer. The edge makes it a 503, never a 401 (DESIGN 6). */
export class DependencyDown extends Error {
  readonly dependency: string;
  readonly retryAfterSeconds: number;

  constructor(dependency: string, options?: { cause?: unknown; retryAfterSeconds?: number }) {
    super(`${dependency} does not answer`, options);
    this.name = 'DependencyDown';
    this.dependency = dependency;
    this.retryAfterSeconds = options?.retryAfterSeconds ?? 2;
  }
}

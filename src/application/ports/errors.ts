/** A dependency that the request may not do without does not answer. The edge makes it a 503, never a 401 (docs/architecture.md). */
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

/** A provider answered, and did not take the message; anything else that `send` throws is a provider that did not answer. */
export class NotTaken extends Error {
  /** The message will not be taken later either: no such recipient, content refused. */
  readonly isPermanent: boolean;
  /** As `550 5.1.1`. */
  readonly replyCode: string | null;
  readonly retryAfterSeconds: number;

  constructor(reason: string, how: { isPermanent: boolean; replyCode: string | null; retryAfterSeconds?: number }) {
    super(reason);
    this.name = 'NotTaken';
    this.isPermanent = how.isPermanent;
    this.replyCode = how.replyCode;
    this.retryAfterSeconds = how.retryAfterSeconds ?? 0;
  }
}

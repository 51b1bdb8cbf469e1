/** Lets a report through at most once in `everyMs`: an outage is told, not repeated with each request. */
export function seldom<Details extends unknown[]>(everyMs: number, report: (...details: Details) => void): (...details: Details) => void {
  let quietUntilMs = 0;
  return (...details) => {
    const nowMs = performance.now();
    if (nowMs < quietUntilMs) return;
    quietUntilMs = nowMs + everyMs;
    report(...details);
  };
}

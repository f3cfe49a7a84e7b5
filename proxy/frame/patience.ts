/**
 * What a peer may do that costs more than it is worth, in points of a budget that fills with time and with useful work.
 * Floods differ in kind but not in shape: many cheap frames without a request that is answered. Honest clients do a few of
 * each (a browser that closes a tab cancels a hundred streams), and some do many in the course of much work (gRPC pings to
 * measure the path while data flows), so work pays.
 */
export const costs = {
  /** A request taken back before its answer was complete (CVE-2023-44487). */
  reset: 50,
  /** A stream that ended because the peer broke a rule on it (CVE-2025-8671). */
  violation: 200,
  /** A request whose fields are too many or too long: a hundred at once, all that may be open, are told so. */
  tooLarge: 100,
  /** One stream too many. */
  refused: 100,
  /** DATA without a byte that ends nothing (CVE-2019-9518). */
  emptyData: 100,
  /** CVE-2019-9512. */
  ping: 10,
  /** CVE-2019-9515. */
  settings: 50,
  /** CVE-2019-9513. */
  priority: 5,
  windowUpdate: 3,
  /** Types that nobody knows, and frames on streams that are over. */
  pointless: 10,
} as const;

const mostPoints = 10_000;
const pointsPerMs = 1;
/** What a request that was answered to its end earns. */
const pointsPerStream = 50;
/** Body bytes, sent or taken, that earn a point. */
const bytesPerPoint = 64;

export class Patience {
  #points = mostPoints;
  #atMs: number;

  constructor(nowMs: number) {
    this.#atMs = nowMs;
  }

  /** @returns false when it is over */
  spend(points: number, nowMs: number): boolean {
    this.#points = Math.min(mostPoints, this.#points + (nowMs - this.#atMs) * pointsPerMs) - points;
    this.#atMs = nowMs;
    return this.#points >= 0;
  }

  streamDone(): void {
    this.#points += pointsPerStream;
  }

  moved(bytes: number): void {
    this.#points += bytes / bytesPerPoint;
  }
}

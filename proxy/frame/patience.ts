/**
 * What a peer may do that costs more than it is worth, in points of a budget that fills with time and with useful work.
 * Floods differ in kind but not in shape: many cheap frames without a request that is answered. Honest clients do a few of
 * each (a browser that closes a tab cancels a hundred streams), and some do many in the course of much work, so work pays.
 */
export const costs = {
  /** A request taken back at once (CVE-2023-44487); later it is less (resetCost). */
  reset: 50,
  /** A stream that ended because the peer broke a rule on it (CVE-2025-8671). */
  violation: 200,
  /** A request whose fields are too many or too long: a hundred at once, all that may be open, are told so. */
  tooLarge: 100,
  /**
   * One stream too many: its fields are read, and nothing else comes of it. A client knows no limit until our SETTINGS have come
   * (RFC 9113 §6.5.2), and gRPC's OkHttp forgets them where they come as it is made: it opens all its calls at once.
   */
  refused: 20,
  /**
   * DATA without a byte that ends nothing (CVE-2019-9518), of a client. Servers have one for each empty piece of an answer (hyper), and
   * must not end the answers of others on their connection by it: theirs is pointless, and what comes with it pays.
   */
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

/**
 * A point less for each millisecond that the request was open, down to one. With the streams that a client may have open it takes back
 * no more of them then than it might have answered. Clients of gRPC reset a call whose deadline has passed, a hundred at a time where a
 * backend hangs: the others of their connection, which are answered, must not end for that.
 */
export function resetCost(openMs: number): number {
  return Math.max(1, costs.reset - openMs);
}

const mostPoints = 10_000;
const pointsPerMs = 1;
/** What a request that was answered to its end earns. */
const pointsPerStream = 50;
/** Body bytes, sent or taken, that earn a point. */
const bytesPerPoint = 64;
/**
 * Small frames that a DATA frame of either side lets the peer send, whatever their cost. gRPC's Go library answers each that it
 * reads with a WINDOW_UPDATE and a PING, to measure the path: a stream of small messages that go to and fro would be over within
 * a second, and a flood by such frames costs what its DATA costs.
 */
const companionsPerFrame = 4;
/** As many as whole windows of the smallest frames may bring: Go resets a stream that is over again for each that comes late. */
const mostCompanions = 1_000_000;
const smallCost = costs.ping;
/** What may be on its way of all streams together; no window of a connection is larger by much. */
const mostOnItsWayBytes = 16 << 20;
/** What a frame without a byte counts for: an honest peer has one of them on its way at the most. */
const emptyFrameBytes = 4_096;

export class Patience {
  #points = mostPoints;
  #atMs: number;
  #companions = 0;
  /** Of streams that we reset, what may come until the peer hears of it. */
  #onItsWayBytes = 0;

  constructor(nowMs: number) {
    this.#atMs = nowMs;
  }

  /** @returns false when it is over */
  spend(points: number, nowMs: number): boolean {
    if (points <= smallCost && this.#companions > 0) {
      this.#companions--;
      return true;
    }
    this.#points = Math.min(mostPoints, this.#points + (nowMs - this.#atMs) * pointsPerMs) - points;
    this.#atMs = nowMs;
    return this.#points >= 0;
  }

  streamDone(): void {
    this.#points += pointsPerStream;
  }

  /** Body bytes were sent or taken. @param frames that had them */
  moved(bytes: number, frames: number): void {
    this.#points += bytes / bytesPerPoint;
    this.#companions = Math.min(mostCompanions, this.#companions + frames * companionsPerFrame);
  }

  /** A stream was reset by us. @param windowBytes that the peer may have sent by then */
  gaveUp(windowBytes: number): void {
    this.#onItsWayBytes = Math.min(mostOnItsWayBytes, this.#onItsWayBytes + windowBytes);
  }

  /** @param bytes of a frame for a stream that we reset. @returns whether it may have been sent before */
  wasOnItsWay(bytes: number): boolean {
    this.#onItsWayBytes -= bytes || emptyFrameBytes;
    if (this.#onItsWayBytes >= 0) return true;
    this.#onItsWayBytes = 0;
    return false;
  }
}

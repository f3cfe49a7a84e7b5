import { seriesLayout } from './metrics.ts';
import type { ExchangeRecord } from './record.ts';
import { type Series, type SeriesName, seriesName } from './series.ts';

/** Values from one series to the next: two lines of the processor's cache. */
const stride = 16;
/** So many that the objects of all pages stay in the processor's cache, and few enough to be made within a request. */
const routesPerPage = 1024;
/** A route number is used again after its route is gone; a slot holds this many series at most, so it cannot grow for ever. */
const mostSeriesPerSlot = 64;

/**
 * Counters of requests by route and backend. Of each route number the first series has its place in pages that are numbers and
 * nothing else: among 100,000 routes a request then waits for two lines of memory where objects cost seven (2 µs), and the
 * collector has nothing to mark. What more a number has, other backends or routes of before, stands beside.
 */
export class RouteSeries {
  /** Where the series that `find` found has its values. */
  values: Float64Array = noValues;
  at = 0;
  /** By route number, ids of the route and of the backend that the place in the pages counts for; '' and '': nobody. */
  readonly #owners: string[] = [];
  readonly #names: (SeriesName | null)[] = [];
  readonly #pages: Float64Array[] = [];
  readonly #others = new Map<number, Series[]>();

  /** Sets `values` and `at`; a series is made at its first request. */
  find(record: ExchangeRecord, index: number, routeId: string, backendId: string): void {
    const owners = this.#owners;
    const owner = index * 2;
    if (owner >= owners.length) this.#makeRoom(index);
    if (owners[owner] === routeId && owners[owner + 1] === backendId) this.#turnTo(index);
    else this.#findOther(record, index);
  }

  #turnTo(index: number): void {
    this.values = this.#pages[Math.floor(index / routesPerPage)] as Float64Array;
    this.at = (index % routesPerPage) * stride;
  }

  #findOther(record: ExchangeRecord, index: number): void {
    if (this.#names[index] === null) {
      this.#own(index, seriesName(record));
      this.#turnTo(index);
      return;
    }
    const others = this.#others.get(index) ?? [];
    let series = others.find(({ name }) => name.routeId === record.routeId && name.backendId === record.backendId);
    if (series === undefined) {
      series = { name: seriesName(record), values: new Float64Array(seriesLayout.size) };
      // The newest first: it is the one that is asked for.
      others.unshift(series);
      if (others.length >= mostSeriesPerSlot) others.pop();
      this.#others.set(index, others);
    }
    this.values = series.values;
    this.at = 0;
  }

  #own(index: number, name: SeriesName | null): void {
    this.#names[index] = name;
    this.#owners[index * 2] = name?.routeId ?? '';
    this.#owners[index * 2 + 1] = name?.backendId ?? '';
  }

  #makeRoom(index: number): void {
    while (this.#pages.length * routesPerPage <= index) {
      this.#pages.push(new Float64Array(routesPerPage * stride));
      for (let i = 0; i < routesPerPage; i++) {
        this.#names.push(null);
        this.#owners.push('', '');
      }
    }
  }

  all(): Series[] {
    const own = this.#names.flatMap((name, index) => (name === null ? [] : [{ name, values: this.#valuesOf(index) }]));
    return [...own, ...[...this.#others.values()].flat()];
  }

  #valuesOf(index: number): Float64Array {
    this.#turnTo(index);
    return this.values.subarray(this.at, this.at + seriesLayout.size);
  }

  /** Drops the series of routes that are gone; the newest of what is left of a number gets its place in the pages. */
  letGo(hasRoute: (routeId: string) => boolean): void {
    for (const [index, others] of this.#others) {
      const left = others.filter(({ name }) => hasRoute(name.routeId));
      if (left.length > 0) this.#others.set(index, left);
      else this.#others.delete(index);
    }
    for (const [index, name] of this.#names.entries()) {
      if (name === null || hasRoute(name.routeId)) continue;
      const newest = this.#others.get(index)?.shift();
      const values = this.#valuesOf(index);
      if (newest === undefined) values.fill(0);
      else values.set(newest.values);
      this.#own(index, newest?.name ?? null);
    }
  }
}

const noValues = new Float64Array(seriesLayout.size);

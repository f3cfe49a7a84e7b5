/** Bound on every wait of a test: long, because a loaded machine is slow; reached only when the thing never happens. */
const patienceMs = 60_000;

/** Waits until a condition holds, looking again after every few turns of the event loop; throws when it never does. */
export async function waitUntil(isDone: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + patienceMs;
  while (!isDone()) {
    if (performance.now() > deadlineMs) throw new Error(`waited ${patienceMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Like waitUntil, without an end of the turn: for what the kernel is about to do, and is not told of to anybody before it is asked. */
export function standUntil(isDone: () => boolean, what: string): void {
  const deadlineMs = performance.now() + patienceMs;
  while (!isDone()) {
    if (performance.now() > deadlineMs) throw new Error(`stood ${patienceMs} ms in vain for ${what}`);
  }
}

/** Like waitUntil, for conditions that need to ask. `boundMs`: more for what takes long by design, as a Lease that runs out. */
export async function eventually<T>(
  ask: () => Promise<T | undefined>,
  what: string,
  boundMs: number = patienceMs,
): Promise<T> {
  const deadlineMs = performance.now() + boundMs;
  for (;;) {
    const value = await ask();
    if (value !== undefined) return value;
    if (performance.now() > deadlineMs) throw new Error(`waited ${boundMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Rejects when a promise does not settle in the test's patience. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${patienceMs} ms in vain for ${what}`)), patienceMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

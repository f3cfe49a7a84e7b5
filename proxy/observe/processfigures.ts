import { exposition } from '#kit/exposition.ts';
import { processFamilies } from './families.ts';

const show = exposition(processFamilies);

/** Memory, CPU time and start of this process. */
export function processFigures(): string {
  const { user, system } = process.cpuUsage();
  return [
    show.single('process_resident_memory_bytes', process.memoryUsage.rss()),
    show.single('process_cpu_seconds_total', (user + system) / 1e6),
    show.single('process_start_time_seconds', Math.round(performance.timeOrigin) / 1_000),
  ].join('');
}

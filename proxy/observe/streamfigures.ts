import { exposition } from '#kit/exposition.ts';
import { streamFamilies } from './families.ts';

const show = exposition(streamFamilies);

/** The stream of one who follows controllers. */
export function streamFigures({ isConnected, connects }: { isConnected: boolean; connects: number }): string {
  return [
    show.single('sluice_stream_connected', isConnected ? 1 : 0),
    show.single('sluice_stream_connects_total', connects),
  ].join('');
}

import { Page } from './page.ts';

/** The stream of one who follows controllers. */
export function streamFigures({ isConnected, connects }: { isConnected: boolean; connects: number }): string {
  const page = new Page();
  page.single('sluice_stream_connected', 'gauge', 'Whether a controller is connected.', isConnected ? 1 : 0);
  page.single('sluice_stream_connects_total', 'counter', 'Connections to controllers that were made.', connects);
  return page.text();
}

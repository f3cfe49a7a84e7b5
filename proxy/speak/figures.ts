import { exposition } from '#kit/exposition.ts';
import type { Bird } from './bird.ts';
import { speakFamilies } from './families.ts';
import type { Neighbour } from './peers.ts';
import type { Sessions } from './sessions.ts';

export interface SpeakerFigures {
  /** Configurations that BIRD took, and how long that took all together, from the files to its answer, ms. */
  configures: number;
  configureMs: number;
  refusals: number;
}

const show = exposition(speakFamilies);

export function figuresText(
  { configures, configureMs, refusals }: SpeakerFigures,
  bird: Bird,
  neighbours: readonly Neighbour[],
  sessions: Sessions,
): string {
  if (neighbours.length === 0) return '';
  const peerOf = ({ row }: Neighbour) => ({ peer: row.id });
  const watched = neighbours.filter((each) => sessions.isPathUp(each) !== null);
  return [
    show.single('sluice_bird_up', Number(bird.isUp)),
    show.single('sluice_bird_starts_total', bird.starts),
    show.single('sluice_bird_refusals_total', refusals),
    show.summaries('sluice_bird_configure_seconds', [[{}, configureMs / 1_000, configures]]),
    show.rows(
      'sluice_bgp_session_up',
      neighbours.map((each) => [peerOf(each), Number(bird.isUp && sessions.isUp(each))]),
    ),
    show.rows(
      'sluice_bgp_announced_prefixes',
      neighbours.map((each) => [peerOf(each), bird.isUp ? sessions.announcedTo(each) : 0]),
    ),
    show.rows(
      'sluice_bfd_session_up',
      watched.map((each) => [peerOf(each), Number(bird.isUp && sessions.isPathUp(each) === true)]),
    ),
  ].join('');
}

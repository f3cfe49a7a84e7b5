import type { Problem, Source } from '#table/problem.ts';

/** What keeps a node from speaking with its routers, in the words of the person who set it up. */
const catalogue = {
  BirdNotRunning: {
    severity: 'error',
    text: 'BIRD does not run on {node}, so no router learns of its addresses: {reason}.',
    hint: 'apt install bird2, version 2.0.12 or newer; the agent starts it by itself.',
  },
  BirdRefused: {
    severity: 'error',
    text: 'BIRD on {node} refused its new configuration, so the one before stays in force: {reason}.',
    hint: 'It is tried again every few seconds; the files are in the folder of --run-dir.',
  },
  PeerUnusable: {
    severity: 'error',
    text: 'Node {node} cannot speak with {peer}: {reason}.',
    hint: 'Correct the BGPPeer; the others are not touched.',
  },
  PeerNotEstablished: {
    severity: 'error',
    text: 'The BGP session of {node} with {peer} ({address}) is not established: {reason}.',
    hint: '{advice}',
  },
  PeerPathDown: {
    severity: 'warning',
    text: 'BFD between {node} and {peer} ({address}) is {state}, so a silent loss shows only when the hold time ends.',
    hint: 'Switch BFD on for this neighbour at the router, and let UDP ports 3784 and 4784 through.',
  },
} as const satisfies Record<string, { severity: Problem['severity']; text: string; hint: string }>;

/** @param values what stands in braces */
export function speakProblem(
  code: keyof typeof catalogue,
  source: Source,
  values: Readonly<Record<string, string>>,
): Problem {
  const { severity, text, hint } = catalogue[code];
  const fill = (template: string) => template.replace(/\{(\w+)\}/g, (whole, key: string) => values[key] ?? whole);
  return { code, severity, source, message: fill(text), hint: fill(hint) };
}

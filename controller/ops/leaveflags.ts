import { duration, flag, text } from './flag.ts';
import { commonFlags, controllerFlags } from './flags.ts';

const { kubeconfig, context, controllerNamespace, leaderElectionId } = controllerFlags;

export const leaveFlags = {
  kubeconfig,
  context,
  controllerNamespace,
  leaderElectionId,
  controllerWorkload: flag(text.default('sluice-controller'), 'NAME', 'name of the Deployment of controllers'),
  edgeWorkload: flag(text.nullable().default(null), 'NAME', 'name of the DaemonSet of edges (default: there is none)'),
  timeout: flag(duration.default(240_000), 'TIME', 'how long pods may take to end (default: 4m)'),
  ...commonFlags,
};

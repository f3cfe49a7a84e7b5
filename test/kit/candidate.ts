import { openCluster } from '../../controller/watch/api.ts';
import { standForElection } from '../../controller/watch/leader.ts';
import { quiet } from './quiet.ts';

// A candidate in a process of its own, for tests that kill the leader. Arguments: kubeconfig, name of the Lease.
const [kubeconfig, name = ''] = process.argv.slice(2);
standForElection({
  cluster: await openCluster({ kubeconfig }),
  namespace: 'default',
  name,
  identity: `process ${process.pid}`,
  onChange: (isLeader) => console.log(isLeader ? 'leads' : 'resigns'),
  log: quiet,
});

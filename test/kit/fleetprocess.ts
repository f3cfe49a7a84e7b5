import { testFleet } from './fleet.ts';
import { plainTable, snapshot } from './rows.ts';

// A fleet in a process of its own, for tests that end its primary. Argument: port of its backend. Prints one line of JSON.
const fleet = await testFleet();
await fleet.apply(snapshot(plainTable([{ address: '127.0.0.1', port: Number(process.argv[2]) }])));
console.log(JSON.stringify({ port: fleet.ports().get('http'), pids: fleet.state().workerPids }));

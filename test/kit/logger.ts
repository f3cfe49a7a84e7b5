import { AccessLog } from '../../proxy/observe/accesslog.ts';
import { exchangeRecord } from './exchangerecord.ts';

/** Run as a process by observe.test.ts: logs to stdout like a worker, and tells its parent what was dropped. */
const log = new AccessLog({ target: 'stdout' });
const lines = 20_000;
let turns = 0;
for (let i = 0; i < lines; i++) {
  log.finished(exchangeRecord({ requestId: `${process.pid}-${i}` }));
  if (i % 100 === 99) {
    turns++;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
await log.close();
process.send?.({ dropped: log.droppedLines, turns }, () => process.exit(0));

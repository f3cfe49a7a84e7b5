import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Control } from '../../proxy/speak/control.ts';
import { waitUntil } from '../kit/wait.ts';

test('an agent that was held up itself does not take BIRD, which has answered, for hung', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  t.after(() => rm(dir, { recursive: true }));
  const socketPath = join(dir, 'bird.ctl');
  const answered = new Int32Array(new SharedArrayBuffer(4));
  // On a thread of its own: it answers while this one is held up.
  const bird = new Worker(
    `const { createServer } = require('node:net');
    const { parentPort, workerData: { socketPath, answered } } = require('node:worker_threads');
    const server = createServer((socket) => {
      socket.write('0001 BIRD 2.0.12 ready.\\n');
      socket.on('data', () => socket.write('0000 well\\n', () => {
        Atomics.store(answered, 0, 1);
        Atomics.notify(answered, 0);
      }));
    });
    server.listen(socketPath, () => parentPort.postMessage('ready'));`,
    { eval: true, workerData: { socketPath, answered } },
  );
  t.after(() => bird.terminate());
  await once(bird, 'message');
  const control = await Control.open(socketPath);
  t.after(() => control.close());
  const asked = control.ask('show status');
  // It is written when this turn ends.
  await Promise.resolve();
  const askedMs = performance.now();
  Atomics.wait(answered, 0, 0);
  while (performance.now() < askedMs + heldUpMs);
  assert.equal((await asked).code, 0);
  assert.equal(control.isHung, false);
});

test('a BIRD that lacks nothing but a core is waited for', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  t.after(() => rm(dir, { recursive: true }));
  const clients: Socket[] = [];
  const bird = createServer((socket) => {
    clients.push(socket);
    socket.write('0001 BIRD 2.0.12 ready.\n');
  });
  t.after(() => bird.close());
  await new Promise<void>((resolve) => bird.listen(join(dir, 'bird.ctl'), resolve));
  let looks = 0;
  const control = await Control.open(join(dir, 'bird.ctl'), () => {
    looks++;
    return { wantsCore: true, cpuMs: 0 };
  });
  t.after(() => control.close());
  const asked = control.ask('show status');
  const [client] = clients;
  await waitUntil(() => looks >= 3, 'a look at why it does not answer');
  client?.write('0000 well\n');
  assert.equal((await asked).code, 0);
});

/** Longer than BIRD may take to answer. */
const heldUpMs = 11_000;

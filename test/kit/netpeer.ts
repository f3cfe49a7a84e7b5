import { createSocket } from 'node:dgram';
import { get } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { reasonOf } from '#kit/reason.ts';

/**
 * A process that serves and asks in a network namespace, told what to do by the test (peer.ts). Servers answer each
 * connection or datagram with their name and the address of the asker.
 */
export interface Task {
  serve: { protocol: 'tcp' | 'udp'; address: string; port: number; name: string };
  /** One question after the other, each from a new socket unless `sourcePort` is set. Answers are texts or error codes. */
  ask: {
    protocol: 'tcp' | 'udp';
    address: string;
    port: number;
    count: number;
    from?: string;
    sourcePort?: number;
    timeoutMs?: number;
  };
  /** One TCP question from each of `count` addresses that count up from `first`, twenty at a time; answers in this order. */
  askFromMany: { address: string; port: number; first: string; count: number };
  /** Opens connections that stay; answers are as those of ask. */
  hold: { address: string; port: number; count: number };
  /** Sends a byte over each held connection; how many are answered. */
  poke: Record<string, never>;
  /** Asks without pause, one TCP question after the other; how long there was no answer like `prefix`. */
  gap: { address: string; port: number; prefix: string; forMs: number };
  http: { url: string };
}

export interface Gap {
  /** Between two answers, ms. */
  readonly longestMs: number;
  readonly answered: number;
  readonly missed: number;
}

const tasks: { readonly [K in keyof Task]: (task: Task[K]) => Promise<unknown> } = {
  serve({ protocol, address, port, name }) {
    return protocol === 'tcp' ? serveTcp(address, port, name) : serveUdp(address, port, name);
  },
  async ask(task) {
    const answers: string[] = [];
    const socket = task.protocol === 'udp' && task.sourcePort !== undefined ? await udpSocket(task) : null;
    for (let i = 0; i < task.count; i++) {
      answers.push(
        task.protocol === 'tcp' ? await askTcp(task) : await askUdp(task, socket ?? (await udpSocket(task))),
      );
    }
    socket?.close();
    return answers;
  },
  async askFromMany({ address, port, first, count }) {
    const answers: string[] = [];
    let next = 0;
    const work = async (): Promise<void> => {
      for (let i = next++; i < count; i = next++) {
        answers[i] = await askTcp({ protocol: 'tcp', address, port, count: 1, from: addressAfter(first, i) });
      }
    };
    await Promise.all(Array.from({ length: 20 }, work));
    return answers;
  },
  async hold({ address, port, count }) {
    const answers: string[] = [];
    for (let i = 0; i < count; i++) answers.push(await holdTcp(address, port));
    return answers;
  },
  async poke() {
    const answered = await Promise.all(held.map(pokeOne));
    return answered.filter(Boolean).length;
  },
  async gap({ address, port, prefix, forMs }): Promise<Gap> {
    const beganMs = performance.now();
    let [lastMs, longestMs, answered, missed] = [beganMs, 0, 0, 0];
    while (performance.now() - beganMs < forMs) {
      const answer = await askTcp({ protocol: 'tcp', address, port, count: 1, timeoutMs: 20 });
      if (!answer.startsWith(prefix)) missed++;
      else {
        answered++;
        longestMs = Math.max(longestMs, performance.now() - lastMs);
        lastMs = performance.now();
      }
    }
    return { longestMs: Math.max(longestMs, performance.now() - lastMs), answered, missed };
  },
  http({ url }) {
    return new Promise((resolve) => {
      get(url, { agent: false, timeout: 3_000 }, (response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on('end', () => resolve({ status: response.statusCode, body }));
      }).on('error', (error: NodeJS.ErrnoException) => resolve({ status: 0, body: error.code }));
    });
  },
};

process.on('message', ({ id, kind, task }: { id: number; kind: keyof Task; task: never }) => {
  tasks[kind](task).then(
    (result) => process.send?.({ id, result }),
    (error) => process.send?.({ id, error: reasonOf(error) }),
  );
});
process.on('disconnect', () => process.exit(0));

const held: Socket[] = [];

function serveTcp(address: string, port: number, name: string): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    // The first byte is asked for: a connection alone proves nothing about who has it.
    socket.on('data', () => socket.write(`${name} ${plain(socket.remoteAddress ?? '')}\n`));
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen({ host: address, port, backlog: 4_096 }, resolve);
  });
}

function serveUdp(address: string, port: number, name: string): Promise<void> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (_bytes, peer) => socket.send(`${name} ${plain(peer.address)}`, peer.port, peer.address));
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.bind(port, address, resolve);
  });
}

function askTcp({ address, port, from, timeoutMs = 2_000 }: Task['ask']): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, ...(from === undefined ? {} : { localAddress: from }) });
    socket.setTimeout(timeoutMs, () => settle('TIMEOUT'));
    socket.on('connect', () => socket.write('?'));
    socket.on('data', (bytes) => settle(bytes.toString().trim()));
    socket.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? 'ERROR'));
    socket.on('close', () => settle('CLOSED'));
    const settle = (answer: string): void => {
      socket.destroy();
      resolve(answer);
    };
  });
}

function holdTcp(address: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, address);
    socket.on('connect', () => socket.write('?'));
    socket.once('data', (bytes) => {
      held.push(socket);
      resolve(bytes.toString().trim());
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'ERROR'));
  });
}

function pokeOne(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), 2_000);
    socket.once('data', () => {
      clearTimeout(timer);
      resolve(true);
    });
    socket.write('?');
  });
}

async function udpSocket({ address, port, from, sourcePort }: Task['ask']) {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  await new Promise<void>((resolve) => socket.bind(sourcePort ?? 0, from, resolve));
  // Connected, so that an ICMP error is told.
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.connect(port, address, () => resolve());
  });
  return socket;
}

function askUdp(
  { sourcePort, timeoutMs = 1_000 }: Task['ask'],
  socket: ReturnType<typeof createSocket>,
): Promise<string> {
  return new Promise((resolve) => {
    const settle = (answer: string): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => {});
      if (sourcePort === undefined) socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => settle('TIMEOUT'), timeoutMs);
    socket.removeAllListeners();
    socket.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? 'ERROR'));
    socket.on('message', (bytes) => settle(bytes.toString()));
    socket.send('?');
  });
}

function addressAfter(first: string, by: number): string {
  const value = first.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) + by;
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

function plain(address: string): string {
  return address.replace(/^::ffff:/, '');
}

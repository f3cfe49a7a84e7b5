import net from 'node:net';
import { getSystemErrorName } from 'node:util';

/** A bound, not yet listening socket as Node's own handle: what a child process can listen on. */
export interface SocketHandle {
  getsockname(out: { address?: string; family?: string; port?: number }): number;
  close(): void;
}

/** One address of a listener: a socket for each worker, all on the same port. */
export interface BoundAddress {
  readonly address: string;
  readonly port: number;
  readonly handles: readonly SocketHandle[];
}

/**
 * Binds one SO_REUSEPORT socket per worker. The primary keeps every one open and never accepts on it; each worker listens
 * on a duplicate. So the kernel spreads connections evenly, and a worker that dies leaves its accept queue behind for its
 * successor: closing the last descriptor of a SO_REUSEPORT listener resets what waits in its queue (seen on Linux 6),
 * and here none is closed while its listener lives.
 *
 * net.BoundSocket would be the public way, but it can be sent only once, which a successor rules out (seen on Node
 * 26.10: ERR_WORKER_HANDLE_NOT_TRANSFERABLE at the second send). net._createServerHandle is what node:cluster uses.
 *
 * UDP is the same, and there it matters more: the kernel chooses by the number of sockets, so one that closed would move the
 * clients of all others, too; datagrams that come while a worker is replaced wait for its successor.
 *
 * @param transport `udp`, or `tcp` for everything else
 * @param addresses IP addresses; empty: every address of both families, or of IPv4 where the host has no IPv6
 * @param port 0: the kernel chooses for the first, the others follow
 * @throws BindError when the port is taken or may not be used
 */
export function bindAddresses(
  transport: Transport,
  addresses: readonly string[],
  port: number,
  count: number,
): BoundAddress[] {
  const bound: BoundAddress[] = [];
  try {
    for (const address of addresses.length > 0 ? addresses : [anyAddress(transport, port)]) {
      bound.push(bindAddress(transport, address, bound[0]?.port ?? port, count));
    }
  } catch (error) {
    for (const { handles } of bound) for (const handle of handles) handle.close();
    throw error;
  }
  return bound;
}

/** A listener's port could not be had. */
class BindError extends Error {
  readonly code: string;

  constructor(code: string, address: string, port: number) {
    super(`cannot listen on ${address} port ${port}: ${reasons[code] ?? code}`);
    this.name = 'BindError';
    this.code = code;
  }
}

const reasons: { readonly [code: string]: string } = {
  EADDRINUSE: 'the port is in use by another process',
  EACCES: 'this user may not bind the port (below net.ipv4.ip_unprivileged_port_start)',
  EADDRNOTAVAIL: 'no interface of this machine has the address',
};

export type Transport = 'tcp' | 'udp';

/** UV_TCP_REUSEPORT and UV_UDP_REUSEPORT of libuv. */
const reusePort = { tcp: 2, udp: 64 } as const;

function bindAddress(transport: Transport, address: string, port: number, count: number): BoundAddress {
  const first = create(transport, address, ownPort(transport, address, port), reusePort[transport]);
  const handles = [first.handle];
  const chosen = first.port;
  try {
    while (handles.length < count) handles.push(create(transport, address, chosen, reusePort[transport]).handle);
  } catch (error) {
    for (const handle of handles) handle.close();
    throw error;
  }
  return { address, port: chosen, handles };
}

/**
 * Without SO_REUSEPORT first: with it, a second Sluice of the same user would silently share the port. Of UDP, it would also where the
 * kernel chooses, which then takes ports of sockets that can share theirs for free (udp_lib_lport_inuse of Linux).
 *
 * @returns 0: the kernel chooses
 */
function ownPort(transport: Transport, address: string, port: number): number {
  if (port === 0 && transport === 'tcp') return 0;
  const alone = create(transport, address, port, 0);
  alone.handle.close();
  return alone.port;
}

/** `::` takes both families; hosts without IPv6 refuse it. */
function anyAddress(transport: Transport, port: number): string {
  const handle = open(transport, '::', port, 0);
  if (typeof handle !== 'number') handle.close();
  const code = typeof handle === 'number' ? getSystemErrorName(handle) : '';
  return code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL' || code === 'EINVAL' ? '0.0.0.0' : '::';
}

function create(
  transport: Transport,
  address: string,
  port: number,
  flags: number,
): { handle: SocketHandle; port: number } {
  const handle = open(transport, address, port, flags);
  if (typeof handle === 'number') throw new BindError(getSystemErrorName(handle), address, port);
  const name: { port?: number } = {};
  // libuv keeps EADDRINUSE of bind(2) back until the socket is asked something.
  const errno = handle.getsockname(name);
  if (errno === 0) return { handle, port: name.port ?? port };
  handle.close();
  throw new BindError(getSystemErrorName(errno), address, port);
}

interface HandleFactory {
  /** Returns a negative error number when bind(2) fails. */
  _createServerHandle(address: string, port: number, family: 4 | 6, fd: number, flags: number): SocketHandle | number;
}

/** node:dgram begins to receive as soon as a socket is bound; the bare handle waits until a worker does. */
interface UdpBinding {
  readonly UDP: new () => SocketHandle & {
    bind(address: string, port: number, flags: number): number;
    bind6(address: string, port: number, flags: number): number;
  };
}

function openUdp(address: string, port: number, flags: number): SocketHandle | number {
  const { UDP } = (process as unknown as { binding(name: 'udp_wrap'): UdpBinding }).binding('udp_wrap');
  const handle = new UDP();
  const errno = net.isIPv6(address) ? handle.bind6(address, port, flags) : handle.bind(address, port, flags);
  if (errno === 0) return handle;
  handle.close();
  return errno;
}

function open(transport: Transport, address: string, port: number, flags: number): SocketHandle | number {
  if (transport === 'udp') return openUdp(address, port, flags);
  return (net as unknown as HandleFactory)._createServerHandle(address, port, net.isIPv6(address) ? 6 : 4, -1, flags);
}

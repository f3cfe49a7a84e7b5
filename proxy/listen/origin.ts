import type { HandleLink } from '../carry/handlelink.ts';
import type { Origin } from '../forward/flow.ts';
import { plainAddress } from '../match/ranges.ts';
import type { ProxyHeader } from '../parse/proxyheader.ts';

/** As the connection says; addresses are '' when the client is gone already. */
export function originOf(link: HandleLink): Origin {
  const { peerName, ownName } = link;
  return {
    address: plainAddress(peerName.address ?? ''),
    port: peerName.port ?? 0,
    localAddress: plainAddress(ownName.address ?? ''),
    localPort: ownName.port ?? 0,
    isTold: false,
    wasTls: false,
  };
}

/** As a PROXY header says, if it stands for another connection than its own (LOCAL, UNKNOWN). */
export function originOfHeader(header: ProxyHeader, own: Origin): Origin {
  if (!header.isProxied) return own;
  return {
    address: header.sourceAddress,
    port: header.sourcePort,
    localAddress: header.destinationAddress,
    localPort: header.destinationPort,
    isTold: true,
    // A load balancer that ends TLS in front of the plain port may say so by the port alone, as ingress-nginx takes it.
    wasTls: header.isTls || header.destinationPort === 443,
  };
}

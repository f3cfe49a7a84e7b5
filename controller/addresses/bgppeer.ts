import { z } from 'zod';
import { LabelSelector } from './selector.ts';

const asn = z.int().min(1).max(4_294_967_295);
/** For the API server; the plan reads the address, and tells what is wrong with it. */
const ip = z.string().max(45).meta({ pattern: '^[0-9A-Fa-f:.]+$' });

const Bfd = z.object({
  receiveIntervalMilliseconds: z
    .int()
    .min(10)
    .max(60_000)
    .default(300)
    .describe('Shortest time between packets of the peer that this side can take.'),
  transmitIntervalMilliseconds: z
    .int()
    .min(10)
    .max(60_000)
    .default(300)
    .describe('Time between packets to the peer, unless it asks for more.'),
  detectMultiplier: z.int().min(2).max(50).default(3).describe('Packets that may be missing before the path is down.'),
  passive: z.boolean().default(false).describe('Wait for the peer to speak first.'),
});

export const BGPPeerSpec = z
  .object({
    address: ip.describe('Address of the router.'),
    port: z.int().min(1).max(65_535).default(179).describe('TCP port of the router.'),
    peerASN: asn.describe('Number of the autonomous system of the router.'),
    localASN: asn.describe('Number of the autonomous system that the nodes speak for; that of the router: iBGP.'),
    sourceAddress: ip.optional().describe('Address of the node to speak from, as all nodes have it.'),
    interface: z
      .string()
      .max(15)
      .meta({ pattern: '^[A-Za-z0-9_.@:-]+$' })
      .optional()
      .describe('Network interface of a router with a link-local address.'),
    passwordSecretRef: z
      .object({
        name: z.string().min(1).max(253).describe('Name of the Secret.'),
        key: z.string().min(1).max(253).default('password').describe('Key of the password in it.'),
      })
      .optional()
      .describe("TCP MD5 password (RFC 2385), from a Secret in the controller's namespace."),
    holdTimeSeconds: z.int().min(3).max(65_535).default(90).describe('Silence after which the session is down.'),
    keepaliveTimeSeconds: z
      .int()
      .min(1)
      .max(21_845)
      .optional()
      .describe('Time between keepalives. Without: a third of the hold time.'),
    connectRetrySeconds: z.int().min(1).max(3_600).default(2).describe('Time between attempts to connect.'),
    multihopTTL: z
      .int()
      .min(2)
      .max(255)
      .optional()
      .describe('The router is not on a network of the node, but at most this many hops away.'),
    bfd: Bfd.optional().describe('Watch the path by BFD (RFC 5880), which finds a silent loss within a second.'),
    gracefulRestart: z
      .object({
        restartTimeSeconds: z.int().min(1).max(4_095).default(120).describe('How long the router keeps the routes.'),
      })
      .optional()
      .describe('The router keeps the routes while the speaker restarts (RFC 4724).'),
    nodeSelector: LabelSelector.optional().describe('Only these nodes keep a session. Without: all.'),
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: '!has(self.keepaliveTimeSeconds) || self.keepaliveTimeSeconds < self.holdTimeSeconds',
        message: 'keepaliveTimeSeconds must be less than holdTimeSeconds',
      },
    ],
  })
  .describe('A router that nodes speak BGP with.');
export type BGPPeerSpec = z.infer<typeof BGPPeerSpec>;

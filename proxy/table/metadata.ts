/**
 * Where clouds tell a machine what it is, and hand it credentials, outside the link-local ranges. No backend may be there, whoever
 * names it: a gateway would ask with the rights of its machine. As text, IPv6 by RFC 5952.
 */
export const metadataAddresses: ReadonlySet<string> = new Set([
  // AWS: instances, and the agent of EKS that gives pods their roles.
  ...['fd00:ec2::254', 'fd00:ec2::23'],
  // Google, for machines that have IPv6 alone.
  'fd20:ce::254',
  // Azure: the host of a machine.
  '168.63.129.16',
  // Oracle, of before and of now.
  ...['192.0.0.192', 'fd00:c1::a9fe:a9fe'],
  // Alibaba.
  ...['100.100.100.200', 'fd00:100::100:200'],
  // Scaleway.
  'fd00:42::42',
  // Linode.
  'fd00:a9fe:a9fe::1',
]);

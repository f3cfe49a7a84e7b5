import type { Row } from '#table/rows.ts';
import type { TranslateOptions } from './options.ts';

/** The two listeners that serve every Ingress. @param usableCertificateId of the default Secret; null while it is unusable */
export function listenerRows(options: TranslateOptions, usableCertificateId: string | null): Row[] {
  const { clients, compression, tracing, http2 } = options;
  const proxyProtocol = options.usesProxyProtocol ? options.proxyProtocol : null;
  const { http, https } = options.listeners;
  const { tls, hsts, ...bind } = https;
  const defaultCertificateId = usableCertificateId ?? options.defaultCertificateId;
  return [
    {
      kind: 'listener',
      row: {
        id: 'http',
        source: null,
        protocol: 'http',
        ...copy(http),
        tls: null,
        proxyProtocol,
        hsts: null,
        http2,
        clients: { ...clients },
        compression,
        tracing,
      },
    },
    {
      kind: 'listener',
      row: {
        id: 'https',
        source: null,
        protocol: 'https',
        ...copy(bind),
        tls: { ...tls, defaultCertificateId },
        proxyProtocol,
        hsts,
        http2,
        clients: { ...clients },
        compression,
        tracing,
      },
    },
  ];
}

function copy<T extends { addresses: readonly string[]; trustedProxies: readonly string[] }>(settings: T): T {
  return { ...settings, addresses: [...settings.addresses], trustedProxies: [...settings.trustedProxies] };
}

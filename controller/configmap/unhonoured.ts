/** A key that ingress-nginx knows and that is not honoured here, or is set elsewhere. */
export interface UnhonouredKey {
  /** What to do about it; shown as hint. */
  advice: string;
  /** Values that ask for what holds anyway. */
  harmless: readonly string[];
  /** Serving without it would open what the operator closed: then every host answers 503. */
  closes: boolean;
}

const off = ['false', ''];
const on = ['true'];
const empty = [''];

const groups: readonly { advice: string; harmless: readonly string[]; closes?: true; names: readonly string[] }[] = [
  // What is a limit of a worker: set at the proxy.
  ...(
    [
      [
        '--limit-request-line-bytes and --limit-head-bytes',
        ['client-header-buffer-size', 'large-client-header-buffers'],
      ],
      ['--limit-response-head-bytes', ['proxy-buffer-size']],
      ['--limit-replay-bytes', ['client-body-buffer-size']],
      ['--limit-connections', ['max-worker-connections']],
      ['--workers', ['worker-processes']],
      ['--drain-grace', ['worker-shutdown-timeout']],
      ['--access-log', ['access-log-path', 'http-access-log-path', 'stream-access-log-path', 'disable-access-log']],
      ['--log-level', ['error-log-level', 'error-log-path']],
    ] as const
  ).map(([flag, names]) => ({ advice: `It is set by ${flag} at the proxy.`, harmless: empty, names })),
  {
    advice: 'Remove it only if everybody may come; restrict the addresses in front of the gateway otherwise.',
    harmless: empty,
    closes: true,
    names: ['block-cidrs'],
  },
  {
    advice: 'Remove it only if these clients may come; refuse them in front of the gateway otherwise.',
    harmless: empty,
    closes: true,
    names: ['block-user-agents', 'block-referers'],
  },
  {
    advice: 'Remove it only if every host may be open, else put the authentication into the backends.',
    harmless: empty,
    closes: true,
    names: ['global-auth-url'],
  },
  {
    advice: 'It takes effect together with global-auth-url, which is not honoured yet.',
    harmless: empty,
    names: [
      'global-auth-method',
      'global-auth-signin',
      'global-auth-signin-redirect-param',
      'global-auth-response-headers',
      'global-auth-request-redirect',
      'global-auth-snippet',
      'global-auth-cache-key',
      'global-auth-cache-duration',
      'global-auth-always-set-cookie',
    ],
  },
  {
    advice: 'Express what the snippet does by annotations; nginx text may hold deny rules, so it is never skipped.',
    harmless: empty,
    closes: true,
    names: ['main-snippet', 'http-snippet', 'server-snippet', 'location-snippet', 'stream-snippet'],
  },
  {
    advice: 'Put the web application firewall in front of the gateway or into the backends, then remove the key.',
    harmless: off,
    closes: true,
    names: ['enable-modsecurity', 'enable-owasp-modsecurity-crs', 'modsecurity-snippet'],
  },
  {
    advice: 'nginx text is never taken from annotations.',
    harmless: off,
    names: ['allow-snippet-annotations'],
  },
  {
    advice: 'Every annotation that is honoured is checked whole, so there is nothing to forbid.',
    harmless: ['', 'High'],
    names: ['annotations-risk-level', 'annotation-value-word-blocklist'],
  },
  {
    advice: 'Paths are data here and cannot become configuration; the rules of the API server hold for them.',
    harmless: on,
    names: ['strict-validate-path-type'],
  },
  {
    advice:
      'With use-forwarded-headers, X-Forwarded-For names the client and each trusted hop after it; without, the peer.',
    harmless: empty,
    names: ['compute-full-forwarded-for'],
  },
  {
    advice: 'Use use-forwarded-headers and proxy-real-ip-cidr.',
    harmless: off,
    names: ['enable-real-ip'],
  },
  {
    advice: 'Let the outer proxy send X-Forwarded-For.',
    harmless: ['X-Forwarded-For', ''],
    names: ['forwarded-for-header'],
  },
  {
    advice: 'X-Request-ID is made where the client sends none; a client’s own is kept.',
    harmless: on,
    names: ['generate-request-id'],
  },
  {
    advice: 'Headers are set by the backends for now.',
    harmless: empty,
    names: ['proxy-set-headers', 'add-headers', 'hide-headers', 'global-allowed-response-headers'],
  },
  { advice: 'X-Original-URI is not sent.', harmless: off, names: ['proxy-add-original-uri-header'] },
  {
    advice: 'Sluice names itself in no response; Server of a backend is passed.',
    harmless: off,
    names: ['server-tokens'],
  },
  { advice: 'Server of a backend is passed as it is.', harmless: on, names: ['allow-backend-server-header'] },
  {
    advice: 'Responses of backends are passed as they are.',
    harmless: off,
    names: ['custom-http-errors', 'disable-proxy-intercept-errors'],
  },
  {
    advice: 'Bodies are streamed with back-pressure both ways, so there is nothing to tune; the key can go.',
    harmless: ['off', ''],
    names: [
      'proxy-buffering',
      'proxy-request-buffering',
      'proxy-buffers-number',
      'proxy-busy-buffers-size',
      'proxy-max-temp-file-size',
    ],
  },
  {
    advice:
      'Limits of heads are flags of the proxy, --limit-head-bytes and others; requests are limited by keep-alive-requests.',
    harmless: off,
    names: ['http2-max-field-size', 'http2-max-header-size', 'http2-max-requests'],
  },
  {
    advice: 'Backends are spoken to with HTTP/1.1 and kept alive.',
    harmless: ['1.1', ''],
    names: ['proxy-http-version'],
  },
  {
    advice:
      'Sessions are resumed by tickets that the whole fleet reads (ssl-session-tickets, ssl-session-timeout); there is nothing else to tune.',
    harmless: ['true', ''],
    names: [
      'ssl-dh-param',
      'ssl-buffer-size',
      'ssl-session-cache',
      'ssl-session-cache-size',
      'ssl-session-ticket-key',
      'ssl-prefer-server-ciphers',
    ],
  },
  {
    advice: 'It is not done; early data can be replayed, and authorities have stopped to answer OCSP.',
    harmless: off,
    names: ['ssl-early-data', 'enable-ocsp'],
  },
  {
    advice: 'Unknown names get the default certificate.',
    harmless: off,
    names: ['ssl-reject-handshake'],
  },
  {
    advice: 'TLS to backends is always set by Ingress.',
    harmless: on,
    names: ['proxy-ssl-location-only'],
  },
  {
    advice: 'No browser that is left mishandles gzip; turn compression off by Ingress where a client does.',
    harmless: ['msie6', ''],
    names: ['gzip-disable'],
  },
  {
    advice: 'Limit in front of the gateway or in the backends for now.',
    harmless: ['0', '503', '$binary_remote_addr', ''],
    names: [
      'limit-req-status-code',
      'limit-conn-status-code',
      'limit-conn-zone-variable',
      'limit-rate',
      'limit-rate-after',
    ],
  },
  {
    advice: 'The access log has a form of its own; see --access-log.',
    harmless: off,
    names: [
      'log-format-upstream',
      'log-format-stream',
      'log-format-escape-json',
      'log-format-escape-none',
      'skip-access-log-urls',
      'enable-access-log-for-default-backend',
      'access-log-params',
      'enable-syslog',
      'syslog-host',
      'syslog-port',
    ],
  },
  {
    advice: 'Spans are called by method and path of their route, and other settings of theirs have keys of their own.',
    harmless: off,
    names: ['opentelemetry-config', 'opentelemetry-operation-name'],
  },
  {
    advice: 'Fields with "_" in their name never reach a backend: some read them as the field with a dash.',
    harmless: off,
    names: ['enable-underscores-in-headers'],
  },
  {
    advice:
      'A field name that is no token (RFC 9110 §5.1) is answered with 400; one of more than letters, digits and "-" is dropped.',
    harmless: on,
    names: ['ignore-invalid-headers'],
  },
  {
    advice: 'Listeners are bound to every address of both families.',
    harmless: off,
    names: ['bind-address', 'bind-address-ipv4', 'bind-address-ipv6', 'disable-ipv6', 'disable-ipv6-dns'],
  },
  {
    advice: 'Pages of the gateway are HTML, or JSON where the client prefers it.',
    harmless: ['text/html', ''],
    names: ['default-type'],
  },
  { advice: 'Redirects name the whole URL.', harmless: off, names: ['relative-redirects'] },
  {
    advice: 'Responses of backends are passed as they are.',
    harmless: ['off', ''],
    names: ['proxy-cookie-domain', 'proxy-cookie-path', 'proxy-redirect-from', 'proxy-redirect-to'],
  },
  {
    advice: 'Countries are not looked up.',
    harmless: off,
    names: ['use-geoip', 'use-geoip2', 'geoip2-autoreload-in-minutes'],
  },
  {
    advice: 'It tunes nginx and means nothing here; remove it.',
    harmless: empty,
    names: [
      'reuse-port',
      'enable-multi-accept',
      'enable-serial-reloads',
      'grpc-buffer-size-kb',
      'enable-aio-write',
      'max-worker-open-files',
      'map-hash-bucket-size',
      'nginx-status-ipv4-whitelist',
      'nginx-status-ipv6-whitelist',
      'proxy-headers-hash-max-size',
      'proxy-headers-hash-bucket-size',
      'server-name-hash-max-size',
      'server-name-hash-bucket-size',
      'variables-hash-bucket-size',
      'variables-hash-max-size',
      'worker-cpu-affinity',
      'lua-shared-dicts',
      'debug-connections',
      'plugins',
    ],
  },
];

/** By key. */
export const unhonouredKeys: ReadonlyMap<string, UnhonouredKey> = new Map(
  groups.flatMap(({ advice, harmless, closes = false, names }) =>
    names.map((name) => [name, { advice, harmless, closes }] as const),
  ),
);

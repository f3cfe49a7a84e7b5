interface GreetingOptions {
  /** Bound ports by listener id. */
  ports: ReadonlyMap<string, number>;
  adminPort: number;
  /** null: there is no edge. */
  edgeAdminPort: number | null;
  manifests: string;
  isDemo: boolean;
}

/** What `sluice standalone` prints when it is ready: where it listens and, with the demo, what to try. */
export function greeting({ ports, adminPort, edgeAdminPort, manifests, isDemo }: GreetingOptions): string {
  const [http, https] = [ports.get('http'), ports.get('https')];
  const where = [
    `Sluice serves the manifests in ${manifests}`,
    `  http   http://localhost:${http}`,
    `  https  https://localhost:${https}`,
    `  admin  http://127.0.0.1:${adminPort}   /readyz /metrics /tables /problems`,
    ...(edgeAdminPort === null
      ? []
      : [`  edge   http://127.0.0.1:${edgeAdminPort}   /status /metrics /plan /problems`]),
  ];
  const tries = [
    '',
    'Try it:',
    '',
    `  curl http://demo.localhost:${http}/hello                      # again: echo-1, echo-2 and echo-3 share the requests`,
    `  curl -c jar -b jar http://sticky.localhost:${http}/           # again: the cookie keeps you on one backend`,
    `  curl -k https://secure.localhost:${https}/                    # TLS; http://secure.localhost:${http}/ redirects (308)`,
    '',
    `  A WebSocket in the browser: http://chat.localhost:${http}/    (or: npx wscat -c ws://chat.localhost:${http}/ws)`,
    `  Edit a file in ${manifests}: it is in force when you have saved it.`,
  ];
  return [...where, ...(isDemo ? tries : []), ''].join('\n');
}

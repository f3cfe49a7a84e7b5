import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { endSignal } from '#kit/endsignal.ts';
import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';
import { planContract } from '#table/plan.ts';
import { tableContract } from '#table/rows.ts';
import { CaBundle } from './admit/cabundle.ts';
import { startAdmission } from './admit/server.ts';
import type { ValuesOf } from './ops/flag.ts';
import { type controllerFlags, everywhere } from './ops/flags.ts';
import { type Leveled, openLog } from './ops/log.ts';
import { renderFigures } from './ops/metrics.ts';
import { openPages } from './ops/pages.ts';
import { ProblemLog } from './ops/problemlog.ts';
import { SettingError } from './ops/settings.ts';
import { configMapsInUse, translateOptions } from './ops/translateoptions.ts';
import { startPipeline } from './pipeline.ts';
import type { PlanOptions } from './plan/planner.ts';
import { Plans } from './plans.ts';
import { type Authorize, anyOf, serviceAccounts, sharedSecret } from './publish/auth.ts';
import { feedOf } from './publish/feed.ts';
import { edgeRows, fleetAuthority, fleetRows } from './publish/fleetrows.ts';
import { Publisher } from './publish/publisher.ts';
import { startTableServer } from './publish/server.ts';
import { fileStore } from './publish/store.ts';
import { AnnouncedWriter } from './status/announced.ts';
import { EventWriter } from './status/events.ts';
import { PoolWriter } from './status/poolwriter.ts';
import { patchServices } from './status/servicepatch.ts';
import { ServiceWriter } from './status/servicewriter.ts';
import { StatusWriter } from './status/writer.ts';
import { Translator } from './translate/translator.ts';
import { type Cluster, openCluster } from './watch/api.ts';
import { Backoff, unreachableLimitMs } from './watch/backoff.ts';
import { watchCluster } from './watch/cluster.ts';
import { ownWatchedKinds } from './watch/kinds.ts';
import { standForElection } from './watch/leader.ts';
import { secretStore } from './watch/secretstore.ts';
import { TokenKeys } from './watch/tokenkeys.ts';
import { reviewToken } from './watch/tokenreview.ts';
import type { ClusterView } from './watch/view.ts';

type Settings = Leveled<ValuesOf<typeof controllerFlags>>;

/**
 * `sluice controller`: wires watch, translate, publish and status together. Returns after SIGTERM, SIGINT or SIGHUP.
 *
 * @throws When there is no usable kubeconfig or a port is taken. An API server that does not answer is waited for.
 */
export async function runController(settings: Settings): Promise<void> {
  const identity = `${hostname()}_${randomUUID().slice(0, 8)}`;
  const log = openLog(settings.logLevel, { controller: identity });
  requireSense(settings);
  const ended = untilEnd();
  const cluster = await openCluster({
    kubeconfig: settings.kubeconfig ?? undefined,
    context: settings.context ?? undefined,
  });
  const namespace = settings.controllerNamespace ?? cluster.namespace;
  const authorize = authorizeBy(settings, settings.proxyServiceAccount, cluster);
  const publisher = new Publisher(tableContract);
  let isReady = false;
  const proxies = () => publisher.readers();
  const edges = () => plans?.publisher.readers() ?? [];
  const admin = await openPages({
    address: settings.adminAddress,
    port: settings.adminPort,
    pages: {
      '/healthz': () => ({ text: 'ok\n' }),
      '/readyz': () => (isReady ? { text: 'ok\n' } : { status: 503, text: 'no tables yet\n' }),
      '/metrics': () => ({ text: figures() }),
      '/problems': () => ({ json: isReady ? pipeline.problems() : [] }),
      '/proxies': () => ({ json: proxies() }),
      '/edges': () => ({ json: edges() }),
      '/addresses': () => ({ json: plans?.addresses() ?? {} }),
    },
    followers: { '/proxies': proxies, '/edges': edges },
    log,
  });

  const store = settings.stateDir === null ? secretStore(cluster, namespace) : fileStore(settings.stateDir);
  const shared = await untilDone(log, ended, async () => ({
    authority: await fleetAuthority(store, Date.now()),
    rows: await fleetRows(store, Date.now()),
    edgeRows: settings.edge ? await edgeRows(store) : [],
  }));
  if (shared === null) return admin.close();
  if (settings.stateDir !== null) {
    await mkdir(settings.stateDir, { recursive: true });
    await writeFile(join(settings.stateDir, 'ca.crt'), shared.authority.certPem);
  }
  const plans = settings.edge ? new Plans(planOptions(settings, namespace), shared.edgeRows) : null;
  let sees = () => false;
  let announced: AnnouncedWriter | null = null;
  const isCurrent = () => sees();
  let lookAnew: (kind: string) => void = () => undefined;
  const onBehind = (kind: string) => lookAnew(kind);
  const feeds = [feedOf({ contract: tableContract, publisher, authorize, reader: 'proxy', isCurrent, onBehind, log })];
  if (plans) {
    const authorizeEdge = authorizeBy(settings, settings.edgeServiceAccount, cluster);
    const { publisher } = plans;
    feeds.push(
      feedOf({
        ...{ contract: planContract, publisher, authorize: authorizeEdge, reader: 'edge', isCurrent, onBehind, log },
        hearAnnounced: (node, news) => (news === null ? announced?.knows(node) : announced?.hear(node, news)) ?? false,
      }),
    );
  }
  const server = await startTableServer({
    feeds,
    authority: shared.authority,
    address: settings.publishBindAddress,
    port: settings.publishPort,
    extraNames: [hostname()],
    log,
  });

  const options = translateOptions(settings, { allowsLoopbackEndpoints: false });
  let view: ClusterView | null = null;
  const admission =
    settings.webhookPort === null
      ? null
      : await startAdmission({
          address: everywhere,
          port: settings.webhookPort,
          authority: shared.authority,
          names: webhookNames(settings.webhookService),
          bench: () => view && { view, options, assignments: plans?.assignments() ?? new Map(), nowMs: Date.now() },
          log,
        });
  const problemLog = new ProblemLog(log);
  const pipeline = startPipeline({
    openSource: (onUpdate) =>
      watchCluster({
        cluster,
        namespaces: settings.namespace,
        kinds: settings.edge ? ownWatchedKinds : [],
        ownNamespace: namespace,
        configMaps: configMapsInUse(settings),
        onUpdate,
        log,
      }),
    translator: new Translator(options),
    publisher,
    fixedRows: shared.rows,
    plans,
    nowMs: Date.now,
    onPublished: ({ problems, view: published }) => {
      if (!isReady) log.info({}, 'ready');
      isReady = true;
      view = published;
      problemLog.report(problems);
      events.report(problems, view);
    },
    onApplied: (published) => statuses.applied(published),
  });
  lookAnew = (kind) => pipeline.source.lookAnew(kind);
  sees = () => {
    const { Service, EndpointSlice, Node } = pipeline.source.state();
    return [Service, EndpointSlice, Node].every((kind) => kind === undefined || kind.failure === null);
  };
  const statuses = new StatusWriter({
    cluster,
    statuses: pipeline.source.ingressStatuses,
    from: { addresses: settings.publishAddress, service: settings.publishService },
    nodes: () => proxies().flatMap(({ node }) => node ?? []),
    log,
  });
  const events = new EventWriter({ cluster, controller: settings.controllerClass, instance: identity, log });
  const services =
    plans && new ServiceWriter({ write: patchServices(cluster), plans, tell: (news) => events.tell(news), log });
  const pools = plans && new PoolWriter({ cluster, usage: () => plans.usage(), log });
  announced =
    plans &&
    new AnnouncedWriter({
      servicesOf: (address) => plans.servicesOf(address),
      isAddress: (address) => plans.publisher.row('address', address) !== undefined,
      isNode: (name) => plans.publisher.row('node', name) !== undefined,
      nodes: () => new Set(edges().flatMap(({ node }) => node ?? [])),
      tell: (news) => events.tell(news),
    });
  if (services && pools && announced) plans.writeBy({ services, pools, announced });
  const caBundle =
    settings.webhookConfiguration === null
      ? null
      : new CaBundle({
          cluster,
          name: settings.webhookConfiguration,
          authorityPem: shared.authority.certPem,
          log,
        });
  const election = standForElection({
    cluster,
    namespace,
    name: settings.leaderElectionId,
    identity,
    onChange: (isLeader) => {
      statuses.lead(isLeader);
      events.lead(isLeader);
      services?.lead(isLeader);
      pools?.lead(isLeader);
      announced?.lead(isLeader);
      caBundle?.lead(isLeader);
    },
    log,
  });
  function figures(): string {
    if (!isReady) return '';
    return renderFigures({
      watch: pipeline.source.state(),
      publisher,
      problems: pipeline.problems(),
      isLeader: election.isLeader(),
      statuses: statuses.state(),
      reviews: admission?.counts ?? null,
      edges: plans && services && { publisher: plans.publisher, usage: plans.usage(), services: services.state() },
    });
  }
  const ports = { publish: server.port, admin: admin.port, ...(admission && { webhook: admission.port }) };
  log.info({ server: cluster.server, ...ports }, 'listening');

  await onAbort(ended);
  log.info({}, 'stopping');
  await election.stop();
  statuses.stop();
  events.stop();
  services?.stop();
  pools?.stop();
  announced?.stop();
  caBundle?.stop();
  await admission?.stop();
  pipeline.source.stop();
  await server.stop();
  await admin.close();
  await cluster.close();
}

/** How an API server may call the webhook; it verifies `<service>.<namespace>.svc`, or the host of a URL. */
function webhookNames(service: string | null): string[] {
  const [namespace, name] = service?.split('/') ?? [];
  return [...(service === null ? [] : [`${name}.${namespace}.svc`]), 'localhost', '127.0.0.1', '::1', hostname()];
}

/** Audience of the tokens that proxies show. */
const audience = 'sluice';

function authorizeBy({ tokenFile, namespace }: Settings, accounts: readonly string[], cluster: Cluster): Authorize {
  const ways: Authorize[] = [];
  if (tokenFile !== null) ways.push(sharedSecret(tokenFile));
  const keys = new TokenKeys(cluster);
  const review: Authorize =
    namespace.length > 0
      ? (token) => keys.verify(token, audience, Date.now())
      : (token) => reviewToken(cluster, token, audience);
  if (accounts.length > 0) ways.push(serviceAccounts(review, accounts));
  return anyOf(ways);
}

/** Settings that cannot be together, or that nobody could follow this controller with. */
function requireSense({ tokenFile, proxyServiceAccount, edgeServiceAccount, edge, namespace }: Settings): void {
  if (edge && namespace.length > 0) {
    throw new SettingError('--edge: needs all namespaces, or an address could be given twice; remove --namespace');
  }
  if (tokenFile !== null) return;
  if (proxyServiceAccount.length === 0) {
    throw new SettingError('proxies could not authenticate: give --token-file or --proxy-service-account');
  }
  if (edge && edgeServiceAccount.length === 0) {
    throw new SettingError('edges could not authenticate: give --token-file or --edge-service-account');
  }
}

function planOptions({ loadBalancerClass, watchServiceWithoutClass }: Settings, secretNamespace: string): PlanOptions {
  return { loadBalancerClass, servesClassless: watchServiceWithoutClass, secretNamespace };
}

/** Tries until it works or `ended`; then null. The API server may come up after us. */
async function untilDone<T>(log: Log, ended: AbortSignal, attempt: () => Promise<T>): Promise<T | null> {
  const backoff = new Backoff(Math.random);
  while (!ended.aborted) {
    try {
      return await attempt();
    } catch (error) {
      log.warn({ reason: reasonOf(error) }, 'the shared keys cannot be read yet');
      await sleep(backoff.nextMs(unreachableLimitMs, null), undefined, { signal: ended }).catch(() => {});
    }
  }
  return null;
}

/** Also at SIGHUP, of a terminal that is closed: its shell sends it, and then the kernel, too. */
function untilEnd(): AbortSignal {
  const ending = new AbortController();
  void endSignal('SIGHUP').then(() => ending.abort());
  return ending.signal;
}

function onAbort(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
}

import { stat } from 'node:fs/promises';
import type { standaloneEdgeFlags } from './controller/ops/edgeflags.ts';
import type { ValuesOf } from './controller/ops/flag.ts';
import type { standaloneFlags } from './controller/ops/flags.ts';
import { type Leveled, openLog } from './controller/ops/log.ts';
import { ProblemLog } from './controller/ops/problemlog.ts';
import { SettingError } from './controller/ops/settings.ts';
import { translateOptions } from './controller/ops/translateoptions.ts';
import { startPipeline } from './controller/pipeline.ts';
import { fleetRows } from './controller/publish/fleetrows.ts';
import { Publisher } from './controller/publish/publisher.ts';
import { fileStore, memoryStore } from './controller/publish/store.ts';
import { Translator } from './controller/translate/translator.ts';
import { watchFiles } from './controller/watch/files.ts';
import { greeting } from './examples/demo/greeting.ts';
import { startDemo } from './examples/demo/start.ts';
import { endSignal } from './proxy/kit/endsignal.ts';
import type { Limits } from './proxy/listen/limits.ts';
import { startFleet } from './proxy/main.ts';
import { redisSettingsOf } from './proxy/share/redis.ts';
import { tableContract } from './proxy/table/rows.ts';
import { openStandaloneEdge } from './standaloneedge.ts';

export type StandaloneSettings = Leveled<ValuesOf<typeof standaloneFlags>> &
  ValuesOf<typeof standaloneEdgeFlags> & { limits: Limits };

/**
 * One machine, no Kubernetes: manifests in files, translated by the controller's code and served by the proxy's, in one
 * command. Composition only. Returns after SIGTERM or SIGINT, drained.
 *
 * @throws When a port is taken or a folder cannot be used; the message is for the person who started it.
 */
export async function runStandalone(settings: StandaloneSettings): Promise<void> {
  const found = await stat(settings.manifests).catch(() => null);
  if (!found?.isDirectory()) throw new SettingError(`--manifests: ${settings.manifests} is not a folder`);
  const log = openLog(settings.logLevel, {});
  const store = settings.stateDir === null ? memoryStore() : fileStore(settings.stateDir);
  const fleet = await startFleet({
    ...settings,
    redis: redisSettingsOf(settings),
    stateDir: null,
    stateKeyFile: null,
    zone: null,
    node: null,
    podName: 'standalone',
    drainDelayMs: settings.drainDelay,
    drainGraceMs: settings.drainGrace,
    staleAcceptMs: 0,
    canUseLoopback: true,
    log,
  });
  const edge = settings.edge ? await openStandaloneEdge(settings, store, log) : null;
  const demo = settings.demo ? await startDemo() : null;
  const publisher = new Publisher(tableContract);
  const problemLog = new ProblemLog(log);
  const pipeline = startPipeline({
    openSource: (onUpdate) =>
      watchFiles({ dir: settings.manifests, onUpdate, ...(edge && { complete: edge.complete }) }),
    translator: new Translator(translateOptions(settings, { allowsLoopbackEndpoints: true })),
    publisher,
    fixedRows: await fleetRows(store, Date.now()),
    plans: edge?.plans ?? null,
    nowMs: Date.now,
    onPublished: ({ problems }) => problemLog.report(problems),
  });
  edge?.follow(pipeline.source);
  fleet.addProblems(() => pipeline.problems());
  publisher.subscribe({
    name: 'standalone',
    zone: null,
    node: null,
    admin: null,
    hash: '',
    isObserver: false,
    deliver: ({ isSnapshot, rows, deletes, commit }) =>
      fleet.apply({ isSnapshot, upserts: rows.map(({ entry }) => entry), deletes, commit }),
  });

  // Of a terminal that is closed: its shell sends it, and then the kernel, too.
  const ended = endSignal('SIGHUP');
  process.on('SIGUSR2', () => fleet.reopenLogs());
  const hasTables = await Promise.race([fleet.firstTable.then(() => true), ended.then(() => false)]);
  const { manifests, demo: isDemo } = settings;
  if (hasTables)
    console.log(
      greeting({
        ports: fleet.ports(),
        adminPort: fleet.adminPort,
        edgeAdminPort: edge?.adminPort ?? null,
        manifests,
        isDemo,
      }),
    );
  await ended;
  await edge?.stop();
  await fleet.stop();
  // Until then what comes in goes where the manifests say.
  pipeline.source.stop();
  demo?.stop();
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { z } from 'zod';
import { reasonOf } from '#kit/reason.ts';
import { scrubbed } from './controller/explain/scrub.ts';
import { edgeCleanupFlags, edgeFlags, edgePageFlags, standaloneEdgeFlags } from './controller/ops/edgeflags.ts';
import type { Flags, ValuesOf } from './controller/ops/flag.ts';
import { checkFlags, controllerFlags, proxyFlags, standaloneFlags } from './controller/ops/flags.ts';
import { leaveFlags } from './controller/ops/leaveflags.ts';
import { followedLevel } from './controller/ops/levelfile.ts';
import type { Leveled } from './controller/ops/log.ts';
import { diffFlags, explainFlags, lintFlags, reportFlags, statusFlags } from './controller/ops/lookflags.ts';
import { dashed, readSettings, SettingError, variableOf } from './controller/ops/settings.ts';
import type { Cluster } from './controller/watch/api.ts';
import { limitFlags, limitsOf } from './limitflags.ts';
import { redisSettingsOf } from './proxy/share/redis.ts';

// The first process of a container has no default action of a signal (pid_namespaces(7)): one that came before a command
// listens by itself was lost, and the container stayed until it was killed, with all its connections.
if (process.pid === 1) {
  for (const [signal, code] of [['SIGTERM', 143] as const, ['SIGINT', 130] as const]) {
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(code);
    });
  }
}

const precedence = `
Every setting can be given in three places; the first that has it wins:
  1. the command line      --http-port 8080
  2. the environment       SLUICE_HTTP_PORT=8080
  3. the file of --config  http-port: 8080   (YAML)
Lists are repeated, or separated by commas. Switches take true or false, or nothing for true.`;

const { version } = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, 'package.json'), 'utf8')));

const program = new Command('sluice')
  .description('The front door of a Kubernetes cluster: Ingress controller and proxy fleet.')
  .version(version)
  // `edge` and the commands below it have flags of one name; each takes what stands behind its own.
  .enablePositionalOptions()
  .exitOverride()
  .configureOutput({
    // What was written wrongly is repeated, and it may be the address of a server with its password.
    outputError: (text, write) =>
      write(
        `${scrubbed(text)
          .trim()
          .replace(/\s*\n\s*/g, ' ')}\n`,
      ),
    // One line per setting where no terminal wraps it, for grep.
    getOutHelpWidth: () => (process.stdout.isTTY ? process.stdout.columns : 1_000),
  })
  .addHelpText('after', precedence);

addCommand(
  'standalone',
  'One machine, no Kubernetes: serve the manifests of a folder.',
  { ...standaloneFlags, ...standaloneEdgeFlags, ...limitFlags },
  async (values) => (await import('./standalone.ts')).runStandalone({ ...leveled(values), limits: limitsOf(values) }),
);
addCommand(
  'controller',
  'Watch a Kubernetes cluster, and tell proxies and objects what follows.',
  controllerFlags,
  async (values) => (await import('./controller/main.ts')).runController(leveled(values)),
);
addCommand('proxy', 'Serve the traffic as controllers say.', { ...proxyFlags, ...limitFlags }, async (values) =>
  (await import('./proxy/main.ts')).runProxy({
    ...leveled(values),
    limits: limitsOf(values),
    redis: redisSettingsOf(values),
    controllerUrls: values.controller,
    controllerCaFile: values.controllerCa,
    proxyName: values.name,
    podName: values.name,
    drainDelayMs: values.drainDelay,
    drainGraceMs: values.drainGrace,
    // An API server that was restored from a backup counts from the past; after this long it is believed.
    staleAcceptMs: 120_000,
    canUseLoopback: false,
  }),
);

addCommand(
  'check',
  'Ask an installation whether it serves: its controller, its proxies, and what they answer.',
  checkFlags,
  async (values) => {
    const { isWell, text } = await (await import('./controller/ops/check.ts')).checkFleet(values);
    process.stdout.write(text);
    if (!isWell) process.exitCode = 1;
  },
);

addCommand(
  'status',
  'Say how an installation in a cluster is, as a checklist; exit code 0: all is well.',
  statusFlags,
  async ({ wait, timeout, ...values }) => {
    const { showStatus } = await import('./controller/explain/status.ts');
    const cluster = await reach(values);
    const print = (text: string) => process.stdout.write(text);
    if (!(await showStatus(cluster, { ...values, waitMs: wait ? timeout : 0, print }))) process.exitCode = 1;
  },
);
addCommand(
  'lint',
  'Say what would come of manifests; exit code 1: something would not be served.',
  lintFlags,
  async ({ file, ...words }) => {
    const { lint, problemLine } = await import('./controller/explain/lint.ts');
    const problems = await lint(file, words, Date.now());
    process.stdout.write(problems.map(problemLine).join(''));
    if (problems.some(({ severity }) => severity === 'error')) process.exitCode = 1;
  },
);
addCommand(
  'explain <URL>',
  'Say what becomes of a request, and why; exit code 1: it is not served.',
  explainFlags,
  async ({ file, tables, method, header, client, listener, ...values }, url) => {
    const { explain } = await import('./controller/explain/explain.ts');
    const { text, isServed } = await explain(
      { url, method, headers: header, client, listener },
      { ...values, files: file, tables },
      () => reach(values),
    );
    process.stdout.write(text);
    if (!isServed) process.exitCode = 1;
  },
);
addCommand(
  'diff',
  'Say what would change in the tables; exit code 0: nothing, 1: something, 2: it cannot be told.',
  diffFlags,
  async (values) => {
    const { diff } = await import('./controller/explain/diff.ts');
    const text = await diff(values, () => reach(values)).catch((error: unknown) => {
      throw new SettingError(reasonOf(error));
    });
    process.stdout.write(text);
    if (text !== '') process.exitCode = 1;
  },
);
const migrate = program.command('migrate').description('Turn what was written for others into what Sluice takes.');
addCommand(
  'values <FILE>',
  'Print values of charts/sluice made of those of the chart of ingress-nginx; FILE - is what comes on stdin.',
  {},
  async (_, file) => {
    const { migratedFile } = await import('./controller/explain/migration.ts');
    process.stdout.write(await migratedFile(file));
  },
  migrate,
);
addCommand(
  'report',
  'Collect what an installation says of itself, without secrets, for somebody who is to help.',
  reportFlags,
  async ({ output, ...values }) => {
    const { collectReport, writeReport } = await import('./controller/explain/report.ts');
    const cluster = await reach(values);
    const files = await collectReport(cluster, values, version);
    await writeReport(files, output);
    process.stdout.write(`${files.size} files in ${output}\n`);
  },
);
addCommand(
  'leave',
  'Take back what an installation has made in a cluster and no manifest describes, before it is deleted.',
  leaveFlags,
  async (values) => (await import('./controller/leave/main.ts')).runLeave(values),
);

const edge = addCommand(
  'edge',
  'Bring traffic for Services to this node, and from there to pods.',
  edgeFlags,
  async (values) =>
    (await import('./proxy/edge/main.ts')).runEdge({
      ...leveled(values),
      controllerUrls: values.controller,
      controllerCaFile: values.controllerCa,
      masqueradeBit: values.masqueradeMark,
      addressLifetimeS: values.addressLifetime,
      // Where there is no kube-proxy, its port is ours.
      nodeHealthPort: values.nodeHealthPort ?? (values.services === 'all' ? 10_256 : null),
      staleAcceptMs: 120_000,
    }),
);
addCommand(
  'status',
  'Say what the agent of this machine does.',
  edgePageFlags,
  async (values) => {
    const { askAgent, statusText } = await import('./proxy/edge/status.ts');
    process.stdout.write(statusText(await askAgent('/status', values)));
  },
  edge,
);
addCommand(
  'doctor',
  'Say what on this machine keeps an agent from doing its work, and how to mend it.',
  edgePageFlags,
  async (values) => {
    const { examine } = await import('./proxy/edge/doctor.ts');
    const { text, isWell } = await examine(values);
    process.stdout.write(text);
    if (!isWell) process.exitCode = 1;
  },
  edge,
);
addCommand(
  'cleanup',
  'Take away what an agent has left on this machine, announcements and rules; stop the agent before.',
  edgeCleanupFlags,
  async (values) => {
    const removed = await (await import('./proxy/edge/cleanup.ts')).cleanUp(values);
    process.stdout.write(
      removed.length === 0 ? 'there was nothing\n' : removed.map((what) => `removed ${what}\n`).join(''),
    );
  },
  edge,
);

// Whoever read our output may go (`sluice standalone | head`); that is no reason to stop serving.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

// Started by sluice.js on an older Node: when that process goes, by whatever way, so does this one.
if (process.channel !== undefined && process.channel !== null) {
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel.unref();
}

try {
  await program.parseAsync();
  process.exit();
} catch (error) {
  process.exit(exitCodeOf(error));
}

function addCommand<F extends Flags>(
  name: string,
  description: string,
  flags: F,
  run: (values: ValuesOf<F>, operand: string) => Promise<void>,
  parent: Command = program,
): Command {
  const command = parent
    .command(name)
    .description(description)
    .option('--config <FILE>', 'YAML file of settings [SLUICE_CONFIG]')
    .addHelpText('after', precedence);
  for (const [key, { schema, placeholder, help }] of Object.entries(flags)) {
    const value = placeholder === null ? '[BOOL]' : `<${placeholder}>`;
    const option = new Option(`--${dashed(key)} ${value}`, `${help}${defaultText(schema, help)} [${variableOf(key)}]`);
    command.addOption(
      option.argParser((text, before: unknown) =>
        Array.isArray(before) ? [...before, text] : before === undefined ? text : [before, text],
      ),
    );
  }
  command.action(async () => {
    const { config, ...commandLine }: Record<string, unknown> = command.opts();
    const inEnvironment = process.env['SLUICE_CONFIG'] || null;
    const configFile = config === undefined ? inEnvironment : String(config);
    const sources = { commandLine, environment: process.env, configFile };
    await run(readSettings(flags, sources), command.args[0] ?? '');
  });
  return command;
}

/** The API server that a kubeconfig names. */
async function reach({ kubeconfig, context }: { kubeconfig: string | null; context: string | null }): Promise<Cluster> {
  const { openCluster } = await import('./controller/watch/api.ts');
  return openCluster({ kubeconfig: kubeconfig ?? undefined, context: context ?? undefined });
}

function leveled<V extends { logLevel: string; logLevelFile: string | null }>(values: V): Leveled<V> {
  return { ...values, logLevel: followedLevel(values) };
}

/** ` (default: 8080)`, or nothing where the help says it or there is none. */
function defaultText(schema: z.ZodType, help: string): string {
  if (help.includes('(default:')) return '';
  const parsed = schema.safeParse(undefined);
  if (!parsed.success || parsed.data === null || parsed.data === false || Array.isArray(parsed.data)) return '';
  return ` (default: ${parsed.data})`;
}

/** 2: it was asked for wrongly. 1: it failed. Says why in one line. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const reason = scrubbed(reasonOf(error)).trim();
  console.error(`error: ${reason.replace(/\s*\n\s*/g, ' ')}`);
  return error instanceof SettingError ? 2 : 1;
}

import { z } from 'zod';
import { Values } from '../../charts/values/values.ts';
import { readConfigMap } from '../configmap/read.ts';
import { type Rule, rules } from './rules.ts';

/** What became of one value; never the value, which may be a key or a password. */
export interface Note {
  /** Path there; '' for what is added. */
  readonly from: string;
  /** `todo`: it was for something, and `says` tells what to do. */
  readonly verdict: 'same' | 'moved' | 'added' | 'ignored' | 'todo';
  /** Paths here, of what is the same, moved or added. */
  readonly to: readonly string[];
  readonly says: string;
}

export interface Migration {
  /** Values of charts/sluice; its schema takes them. */
  readonly values: Tree;
  readonly notes: readonly Note[];
}

interface Tree {
  [key: string]: unknown;
}

/**
 * Values of charts/sluice from those of ingress-nginx's chart, for an installation beside it: nothing that both would claim is
 * taken over, and the Ingresses of its class are served. Pure, and does not throw, whatever the values are.
 */
export function migrateValues(given: Tree): Migration {
  const values: Tree = {};
  const notes: Note[] = [];
  put(values, ['controller', 'adoptControllerClass'], ['k8s.io/ingress-nginx']);
  put(values, ['controller', 'publishService', 'enabled'], false);
  notes.push(
    added(
      'controller.publishService.enabled',
      'only ingress-nginx writes addresses into Ingresses; true when it is gone',
    ),
  );
  visit(given, [], undefined);
  if (Object(at(values, ['metrics', 'service'])).enabled === true) {
    put(values, ['proxy', 'extraArgs', 'metrics-compat'], 'ingress-nginx');
    notes.push(added('proxy.extraArgs.metrics-compat', 'dashboards and alerts of ingress-nginx go on'));
  }
  notes.push(...notesOfConfig(at(values, ['controller', 'config'])));
  const { enabled: isScoped, namespaces } = Object(at(values, ['controller', 'scope'])) as Tree;
  if (isScoped === true && namespaces === undefined) notes.push(todo('controller.scope.namespace', ownScope));
  const left = [...notesOfClass(given, values), ...withoutContradictions(values)];
  const isLeft = ({ from }: Note) =>
    from !== '' && left.some((each) => from === each.from || (each.from !== '' && from.startsWith(`${each.from}.`)));
  return { values, notes: [...notes.filter((note) => !isLeft(note)), ...left] };

  /** @param inherited the rule of what is above */
  function visit(value: unknown, path: readonly string[], inherited: Inherited | undefined): void {
    const name = path.join('.');
    const own = rules.get(name);
    const decided = own === undefined ? inherited : { rule: own, depth: path.length };
    if (isTree(value) && (path.length === 0 || hasRulesBelow(name) || goesApart(decided, path, value))) {
      for (const [key, below] of inOrder(value)) visit(below, [...path, key], decided);
      return;
    }
    notes.push(fateOf(value, path, decided));
  }

  function fateOf(value: unknown, path: readonly string[], decided: Inherited | undefined): Note {
    const from = pathText(path);
    if (isSilent(path, value) && decided?.rule.does !== 'move') return ignored(from, nothing);
    if (decided === undefined) return todo(from, 'It is not known: see charts/sluice/README.md for what it did.');
    const { rule, depth } = decided;
    if (value === rule.unless) return ignored(from, nothing);
    if (rule.does === 'ignore') return ignored(from, rule.why);
    if (rule.does === 'refuse') return todo(from, rule.advice);
    if (value === null) return ignored(from, nothing);
    if (isFlag(path) && isOfVariable(value)) return todo(from, ownVariable);
    // The namespace of the release there, as if it said nothing.
    if (from === 'controller.scope.namespace' && isOfVariable(value)) return ignored(from, nothing);
    if (isOfTemplate(path, value)) return todo(from, ownTemplate);
    const forms = formsOf(path, value);
    const places = rule.to.map((to) => [...to.split('.'), ...path.slice(depth)]);
    for (const place of places) {
      const field = fieldAt(place);
      if (field === null) {
        return isSilent(path, value)
          ? ignored(from, nothing)
          : todo(from, `There is no ${pathText(place)}; charts/sluice/README.md has what there is.`);
      }
      const fitting = forms.find((each) => field.safeParse(each).success);
      if (fitting !== undefined) put(values, place, joinedAt(values, place, fitting));
      else if (value === '') return ignored(from, nothing);
      else return todo(from, `${pathText(place)} takes ${kindOf(field)}, and this is not.`);
    }
    const to = places.map(pathText);
    return { from, verdict: to.length === 1 && to[0] === from ? 'same' : 'moved', to, says: rule.but ?? '' };
  }
}

const ownVariable =
  'It is made of a variable of the pods of ingress-nginx, which ours do not have: write out what it stands for.';

const ownTemplate =
  'It is made by a template, which would say another namespace here, or nothing: write out what comes of it.';

const ownScope =
  'Without, it is the namespace of the release, another one here: name it in controller.scope.namespaces.';

const ownName = 'In some namespaces alone one name of a class is served: controller.ingressClassResource.name.';

const ownAnnotation =
  'Ingresses that name no class but by the old annotation are served where an IngressClass has that name, with a controller of controller.adoptControllerClass: see that there is one.';

/** A rule, and how many keys lead to where it stands. */
interface Inherited {
  readonly rule: Rule;
  readonly depth: number;
}

/** Said of values that ask for nothing. */
export const nothing = 'says nothing';

function ignored(from: string, says: string): Note {
  return { from, verdict: 'ignored', to: [], says };
}

function todo(from: string, says: string): Note {
  return { from, verdict: 'todo', to: [], says };
}

function added(to: string, says: string): Note {
  return { from: '', verdict: 'added', to: [to], says };
}

/** The flags last: on the command line of ingress-nginx they come behind those of the chart, and the last one of a name holds. */
function inOrder(tree: Tree): [key: string, value: unknown][] {
  const entries = Object.entries(tree);
  return [...entries.filter(([key]) => key !== 'extraArgs'), ...entries.filter(([key]) => key === 'extraArgs')];
}

/** A flag is given by being there: one without a value is on, and one that is false may be on elsewise. */
function isFlag([component, group, ...rest]: readonly string[]): boolean {
  return component === 'controller' && group === 'extraArgs' && rest.length === 1;
}

function isOfVariable(value: unknown): boolean {
  return typeof value === 'string' && /\$\(\w+\)/.test(value);
}

/** Of the values that are taken over, these alone are templates there. */
function isOfTemplate([group = '', ...rest]: readonly string[], value: unknown): boolean {
  return (group === 'tcp' || group === 'udp') && rest.length === 1 && typeof value === 'string' && value.includes('{{');
}

function isSilent(path: readonly string[], value: unknown): boolean {
  return isNothing(value) && !(isFlag(path) && value !== null);
}

/** Of two switches there that are one here: what it is when both are told. */
const joined = new Map<string, (one: boolean, other: boolean) => boolean>([
  ['proxy.hostPort.enabled', (one, other) => one || other],
  ['proxy.service.enabled', (one, other) => one && other],
]);

function joinedAt(values: Tree, place: readonly string[], value: unknown): unknown {
  const join = joined.get(place.join('.'));
  const before = at(values, place);
  return join !== undefined && typeof before === 'boolean' && typeof value === 'boolean' ? join(before, value) : value;
}

/** What has to change on the way. */
function prepared(name: string, value: unknown): unknown {
  if (name !== 'controller.topologySpreadConstraints' || !Array.isArray(value)) return value;
  // Its pods have other labels; without, the chart sets those of the component.
  return value.map((each: unknown) => {
    if (!isTree(each)) return each;
    const { labelSelector: _, ...rest } = each;
    return rest;
  });
}

/** In the forms that templates of others take it in, too. */
function formsOf(path: readonly string[], given: unknown): unknown[] {
  if (isFlag(path) && given === '') return [true];
  const value = prepared(path.join('.'), given);
  const isScalar = typeof value === 'number' || typeof value === 'boolean';
  return [
    value,
    ...(typeof value === 'string' && /^\d{1,9}$/.test(value) ? [Number(value)] : []),
    ...(value === 'true' ? [true] : value === 'false' ? [false] : []),
    ...(isScalar ? [String(value)] : []),
    ...(typeof value === 'string' && value !== '' ? [[value]] : []),
  ];
}

/** Problems that the controllers would have with the settings; those that close the gateway stay, so that nothing opens. */
function notesOfConfig(config: unknown): Note[] {
  if (!isTree(config)) return [];
  const data = Object.fromEntries(Object.entries(config).map(([key, value]) => [key, String(value)]));
  const metadata = { name: 'config', namespace: '', uid: '', creationTimestamp: '', annotations: {}, labels: {} };
  const { problems } = readConfigMap({ kind: 'ConfigMap', metadata, data }, '/config', { tcpServices: null });
  return problems.map(({ source, code, hint }) => {
    const key = /^data\[(.*)\]$/s.exec(source.field ?? '')?.[1] ?? '';
    const effect = code === 'ConfigKeyDenies' ? 'While it is there, all requests are answered with 503. ' : '';
    return todo(pathText(['controller', 'config', key]), `${effect}${hint}`);
  });
}

/** Whose Ingresses are served. What the old annotation has to say need not be the name of a class there. */
function notesOfClass(given: Tree, values: Tree): Note[] {
  const theirs = (...path: string[]) => at(given, ['controller', ...path]);
  const nameOf = (...names: unknown[]) => names.find((name) => typeof name === 'string' && name !== '') ?? 'nginx';
  const inAnnotation = nameOf(theirs('extraArgs', 'ingress-class'), theirs('ingressClass'));
  const ofObject = nameOf(theirs('ingressClassResource', 'name'));
  const aliases = theirs('ingressClassResource', 'aliases');
  const isScoped = at(values, ['controller', 'scope', 'enabled']) === true;
  const names = isScoped ? [ofObject] : [ofObject, ...(Array.isArray(aliases) ? (aliases as unknown[]) : [])];
  const hasObject = isScoped || theirs('ingressClassResource', 'enabled') !== false;
  const says = isScoped ? ownName : ownAnnotation;
  const notes = hasObject && names.includes(inAnnotation) ? [] : [todo('controller.ingressClass', says)];
  if (!isScoped)
    return [added('controller.adoptControllerClass', 'the Ingresses of ingress-nginx are served'), ...notes];
  put(values, ['controller', 'ingressClassResource', 'name'], ofObject);
  put(values, ['controller', 'ingressClassResource', 'enabled'], false);
  const [name, enabled] = ['name', 'enabled'].map((key) => `controller.ingressClassResource.${key}`) as [
    string,
    string,
  ];
  return [
    { from: name, verdict: 'same', to: [name], says: 'in some namespaces alone no class is seen, and its name counts' },
    { from: enabled, verdict: 'added', to: [enabled], says: 'the class is an object of ingress-nginx' },
    ...notes,
  ];
}

/** As charts/sluice/templates/_checks.tpl has it. */
const mostSeconds = 1_728_000;

/** Takes out what the templates of the chart refuse together, and ingress-nginx passes over. */
function withoutContradictions(values: Tree): Note[] {
  const proxy = Object(values['proxy']) as Tree;
  const notes: Note[] = [];
  const drop = (key: string, says: string) => {
    if (proxy[key] === undefined) return;
    delete proxy[key];
    notes.push(todo(`controller.${key}`, says));
  };
  if (proxy['kind'] === 'DaemonSet') {
    for (const key of ['autoscaling', 'keda']) drop(key, 'Left out: a DaemonSet runs on each node, and is not scaled.');
  }
  if (Object(proxy['keda']).enabled === true) drop('autoscaling', 'Left out: KEDA scales.');
  const { drainDelaySeconds, containerPort } = Values.parse({}).proxy;
  const leastSeconds = drainDelaySeconds + 10;
  if (Number(proxy['terminationGracePeriodSeconds'] ?? leastSeconds) < leastSeconds) {
    const says = `Left out: a proxy needs ${leastSeconds} s at least to leave without failing a request.`;
    drop('terminationGracePeriodSeconds', says);
  }
  if (Number(proxy['terminationGracePeriodSeconds']) > mostSeconds) {
    drop('terminationGracePeriodSeconds', `Left out: a proxy waits for ${mostSeconds} s at most.`);
  }
  const tcp = Object(values['tcp']) as Tree;
  for (const port of Object.values(containerPort).filter((each) => Object.hasOwn(tcp, each))) {
    delete tcp[port];
    notes.push(
      todo(`tcp.${port}`, 'Left out: proxies listen there themselves. Move proxy.containerPort, then add it.'),
    );
  }
  return notes;
}

function hasRulesBelow(name: string): boolean {
  return rules.keys().some((path) => path.startsWith(`${name}.`));
}

/** Where ours is a group of fixed keys, each is looked at by itself; and in a map, where one of its values cannot be taken over. */
function goesApart(decided: Inherited | undefined, path: readonly string[], value: Tree): boolean {
  if (decided?.rule.does !== 'move') return false;
  const [to = ''] = decided.rule.to;
  const field = fieldAt([...to.split('.'), ...path.slice(decided.depth)]);
  if (field === null || shapeOf(field) !== null) return field !== null;
  const hasTemplates = Object.entries(value).some(([key, below]) => isOfTemplate([...path, key], below));
  return valuesOf(field) !== null && (hasTemplates || !field.safeParse(value).success);
}

function fieldAt(path: readonly string[]): z.ZodType | null {
  let field: z.ZodType = Values;
  for (const key of path) {
    const shape = shapeOf(field);
    const next: z.ZodType | null | undefined =
      shape === null ? valuesOf(field) : Object.hasOwn(shape, key) ? shape[key] : null;
    if (!next) return null;
    if (next instanceof z.ZodUnknown) return next;
    field = next;
  }
  return field;
}

function shapeOf(field: z.ZodType): Readonly<Record<string, z.ZodType>> | null {
  const inner = innerOf(field);
  return inner instanceof z.ZodObject ? inner.shape : null;
}

/** Of a map of any keys. */
function valuesOf(field: z.ZodType): z.ZodType | null {
  const inner = innerOf(field);
  return inner instanceof z.ZodRecord ? (inner.valueType as z.ZodType) : null;
}

function innerOf(field: z.ZodType): unknown {
  let inner: unknown = field;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) inner = inner.unwrap();
  return inner;
}

function kindOf(field: z.ZodType): string {
  const inner = innerOf(field);
  if (inner instanceof z.ZodEnum) return `one of ${inner.options.map((each) => JSON.stringify(each)).join(', ')}`;
  if (inner instanceof z.ZodObject || inner instanceof z.ZodRecord) return 'a map';
  if (inner instanceof z.ZodArray) return 'a list';
  if (inner instanceof z.ZodBoolean) return 'true or false';
  return inner instanceof z.ZodString || inner instanceof z.ZodUnion ? 'a text' : 'a number';
}

function put(tree: Tree, path: readonly string[], value: unknown): void {
  const [key = '', ...rest] = path;
  if (rest.length === 0) {
    tree[key] = value;
    return;
  }
  const below = isTree(tree[key]) ? tree[key] : {};
  tree[key] = below;
  put(below, rest, value);
}

function at(tree: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((below, key) => (isTree(below) ? below[key] : undefined), tree);
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === '' || value === false) return true;
  return typeof value === 'object' && Object.values(value).every(isNothing);
}

/** `a.b`; keys with other letters than usual in quotes, since they end up in a comment. */
function pathText(path: readonly string[]): string {
  return path.map((key) => (/^[\w/-]+$/.test(key) ? key : JSON.stringify(key).replace(/[^ -~]/g, '?'))).join('.');
}
